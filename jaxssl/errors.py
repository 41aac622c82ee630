"""The exceptions whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend: the message says in one sentence what is wrong, where, and what to do."""

    exit_code = 2


class Preempted(BaseException):
    """Told to stop, as by Ctrl-C: whoever takes an error for damage must not take this for one."""

    exit_code = 75


class LeftOut(UserError):
    """All is done but for files that could not be used, where the user wanted to be told."""

    exit_code = 3
