"""What stands behind the command line: the verbs, what is typed and what is told. `cli.main` runs them."""
