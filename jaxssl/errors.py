"""The exceptions whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend: the message says in one sentence what is wrong, where, and what to do."""

    exit_code = 2


class LeftOut(UserError):
    """All is done but for files that could not be used, where the user wanted to be told."""

    exit_code = 3
