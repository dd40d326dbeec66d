"""The chat log: messages and notices, of which there may be 100,000."""

from gochat.tui.chat_log.items import LogItem, LogMessage, LogNotice, Reaction
from gochat.tui.chat_log.widget import ChatLog

__all__ = ["ChatLog", "LogItem", "LogMessage", "LogNotice", "Reaction"]
