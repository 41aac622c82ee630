"""The one exception whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend: the message says in one sentence what is wrong, where, and what to do."""
