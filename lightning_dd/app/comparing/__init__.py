"""Parts of the command `evaluate`: the artifacts that it is given, and the table that it fills."""
