"""Errors that a user can cause, each said in one sentence."""


class UserError(Exception):
    """Something that the user can put right.

    The message is one plain sentence that says what was wrong and what to do. The command line prints it without a
    traceback and ends with a non-zero exit code.
    """


def check_number(option: str, value: int | None, largest: int | None = None) -> None:
    """Refuse a number below 1 or above the largest; None is none.

    Raises:
        UserError: names the option.
    """
    if value is not None and (value < 1 or (largest is not None and value > largest)):
        limits = "at least 1" if largest is None else f"from 1 to {largest}"
        raise UserError(f"--model.{option} is a number {limits} and cannot be {value}.")
