"""The spec language: vocabulary, parser, typed form, interpreter."""
