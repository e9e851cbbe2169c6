"""Questions of the page → answers: the work of a view in hand, finished or failed."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mir21sim.errors import Mir21simError
from mir21sim.web import views
from mir21sim.web.models import Facts, Models
from mir21sim.web.settings import Look, Settings
from mir21sim.web.work import Cache, Job, Jobs

WAIT = 0.4
"""Seconds that a question waits for its answer before the page shows progress."""

MOST_EARLIER = 4
"""Earlier settings whose curves are kept in sight."""

USES_LOOK = ("response", "assay", "parameters")
"""Views whose numbers, not only their picture, depend on their own controls."""


@dataclass(frozen=True, slots=True)
class Question:
    """One view of one tab, and its settings."""

    view: str
    settings: Settings
    look: Look
    earlier: tuple[Settings, ...] = ()

    @classmethod
    def of(
        cls,
        view: str,
        record: Mapping[str, Any],
        look: Mapping[str, Any] | None = None,
        earlier: Any = (),
    ) -> "Question":
        """Return a question from records of the page, checked."""
        before = earlier if view == "curves" and isinstance(earlier, list) else []
        return cls(
            view,
            Settings.of(record),
            Look.of_record(look),
            tuple(Settings.of(old) for old in before[-MOST_EARLIER:]),
        )

    def key(self) -> str:
        """Return a text that is equal for questions with equal answers."""
        look = self.look.key() if self.view in USES_LOOK else ""
        return json.dumps(
            [self.view, self.settings.key(), look, [old.key() for old in self.earlier]]
        )


@dataclass(eq=False)
class Explorer:
    """The state of one server: models, results that are kept, work in hand."""

    models: Models
    cache: Cache = field(default_factory=Cache)
    draw: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.cache)

    def facts(self, settings: Settings) -> Facts:
        """Return the controls' record of the model of some settings."""
        return self.models.facts(settings.model, settings.context)

    def ask(
        self, tab: str, question: Question, wait: float = WAIT, *, again: bool = False
    ) -> Job:
        """Return the job of a question, finished where that takes only a moment."""
        work, view = self._work(question), question.view
        return self.jobs.ask(tab, view, question.key(), work, wait, again=again)

    def _work(self, question: Question) -> Callable[[Job], Any]:
        """Return the work that answers a question."""
        facts = self.facts(question.settings)
        function = views.WORKS.get(question.view) or views.assay(self.cache, facts.blot)
        settings = question.settings

        def work(job: Job) -> Any:
            model = self.models.load(settings.model, settings.context)
            now = function(model, settings, question.look, job)
            if question.view != "curves":
                return now
            before = [self._earlier(old, job) for old in question.earlier]
            return views.Shown((now.data, before), now.lines)

        return work

    def _earlier(self, old: Settings, job: Job) -> Any:
        """Return the curves of earlier settings; they were drawn once, so are known."""
        model = self.models.load(old.model, old.context)
        key = f"earlier {old.key()}"
        try:
            return self.cache.of(
                key, lambda: views.curves(model, old, Look(), job).data
            )
        except Mir21simError:
            return None  # it had no curves when it was set, either
