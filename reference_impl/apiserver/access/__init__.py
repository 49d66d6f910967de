"""Who may do what: authentication, authorization, admission, in this order."""
