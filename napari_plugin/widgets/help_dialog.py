"""Help from the dock: the first steps, all keys, and what happened so far."""

from collections.abc import Iterable
from datetime import datetime

from qtpy.QtWidgets import QDialog, QPlainTextEdit, QTabWidget, QTextBrowser, QVBoxLayout, QWidget

from napari_plugin.widgets import keys

__all__ = ["HelpDialog"]

_STEPS = (
    "Open an image (File ▸ Open Sample ▸ SAM 2 has two). Set-up says how it is read; correct its axes there.",
    "Click on an object: its mask appears. Click on what is missing, Ctrl+click on what is too much.",
    "New object (N), then click on the next one. For many, tick “each click a new one”.",
    "A stack: Forward (G) tracks all of them. Stop (G) keeps what is done, Shift+G goes on.",
    "Tab Review lists doubtful masks, worst first: Shift+K goes to the next, H verifies, U tracks again.",
    "Tab Measure makes the table; tab Files saves masks and tracks. Everything else saves itself.",
    "Ctrl+Z takes back whatever was done last.",
)


class HelpDialog(QDialog):
    """Stays open beside the work; the line below the tools says what the tool in hand does."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("SAM 2: help")
        self.resize(560, 460)
        steps, bound = QTextBrowser(), QTextBrowser()
        steps.setHtml("<ol>" + "".join(f"<li>{step}</li>" for step in _STEPS) + "</ol>")
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(1000)
        self.tabs = QTabWidget()
        for name, page in (("First steps", steps), ("Keys", bound), ("What happened", self.log)):
            self.tabs.addTab(page, name)
        self.bound = bound
        layout = QVBoxLayout(self)
        layout.addWidget(self.tabs)

    def showEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """List the keys as they are set now."""
        self.bound.setHtml(
            "<p>File ▸ Preferences ▸ SAM 2 ▸ Keys changes them.</p>"
            + _table((keys.written(keys.key_of(name)), what) for name, what in keys.ACTIONS.items())
        )
        super().showEvent(event)

    def note(self, sentence: str) -> None:
        """Add a sentence to what happened, with the time."""
        if sentence:
            self.log.appendPlainText(f"{datetime.now():%H:%M:%S}  {sentence}")


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><b>{key}</b></td><td>{what}</td></tr>" for key, what in rows)
    return f"<table cellpadding=3>{cells}</table>"
