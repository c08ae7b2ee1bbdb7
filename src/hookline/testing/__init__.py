"""What tests need, ours and our users': receivers that behave and receivers that do not.

Nothing in here runs in production, and nothing in production imports it.
"""

from hookline.testing.receivers import Received, Receiver, Reply

__all__ = ["Received", "Receiver", "Reply"]
