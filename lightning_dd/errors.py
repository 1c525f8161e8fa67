"""Errors that a user can cause, each said in one sentence."""


class UserError(Exception):
    """Something that the user can put right.

    The message is one plain sentence that says what was wrong and what to do. The command line prints it without a
    traceback and ends with a non-zero exit code.
    """
