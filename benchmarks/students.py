"""Students without browsers: websocket clients that open the app's pages, press its buttons and watch.

A student does what Streamlit's page does in a browser: it keeps the server's cookies, sends the state of all
widgets with each rerun, asks fragments to refresh as often as they want to be, and forgets what a run did not
draw again. It draws nothing and fetches no scripts, fonts or pictures. Written for Streamlit 1.67; the
protocol is private to it, so another version may differ.
"""

import asyncio
import contextlib
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

LONGEST_SECONDS = 120.0  # that a student waits for a page before giving up
_CACHED_RUNS = 2  # that a large message is remembered for, so that it need not be sent again
_LABELS = ("label", "text", "body", "message")  # where kinds of elements keep what a person reads first

Place = tuple[int, ...]


class NotThereError(Exception):
    """What a student looked for is not on the page, or did not come in time."""


@dataclass(frozen=True)
class Element:
    """Something on the page: its kind ("button", "markdown" …), its protobuf message, and the fragment, the
    script and the run that drew it."""

    kind: str
    message: Any
    fragment: str
    script: str
    run: str

    @property
    def label(self) -> str:
        """What a person reads first."""
        return next(filter(None, (getattr(self.message, name, "") for name in _LABELS)), "")


class Page:
    """What stands on a student's screen, by its place in the tree of elements."""

    def __init__(self) -> None:
        self.elements: dict[Place, Element] = {}
        self._blocks: set[Place] = set()

    def take(self, delta: Any, metadata: Any, run: str) -> Element | None:
        """Put a delta where it belongs; gives the element, if it is one."""
        place, kind = tuple(metadata.delta_path), delta.WhichOneof("type")
        if kind == "add_block":
            self.elements.pop(place, None)
            self._blocks.add(place)
        if kind != "new_element":
            return None
        if place in self._blocks:  # it takes the place of a container with all that is in it
            self.keep(lambda at, _: at[: len(place)] != place)
            self._blocks = {each for each in self._blocks if each[: len(place)] != place}
        kind = delta.new_element.WhichOneof("type")
        message = getattr(delta.new_element, kind)
        self.elements[place] = Element(kind, message, delta.fragment_id, metadata.active_script_hash, run)
        return self.elements[place]

    def keep(self, wanted: Callable[[Place, Element], bool]) -> None:
        """Forget all elements but the wanted ones."""
        self.elements = {place: each for place, each in self.elements.items() if wanted(place, each)}

    def find(self, kind: str, label: str) -> Element | None:
        """The first element of a kind whose label is this one, else begins so, else contains it; in any
        case."""
        wanted = label.casefold()
        alike = [each for _, each in sorted(self.elements.items(), key=_by_place) if each.kind == kind]
        for fits in (str.__eq__, str.startswith, str.__contains__):
            for each in alike:
                if fits(each.label.casefold(), wanted):
                    return each
        return None

    def texts(self, *kinds: str) -> list[str]:
        """What the elements of these kinds say, from top to bottom."""
        ordered = sorted(self.elements.items(), key=_by_place)
        return [each.label for _, each in ordered if each.kind in kinds]

    @property
    def has_point(self) -> bool:
        """Whether it shows the first measured losses of a run."""
        return self.find("metric", "Training loss") is not None

    @property
    def has_finished(self) -> bool:
        """Whether it shows a run that has done all its steps."""
        return any(said.startswith("Finished") for said in self.texts("progress"))


def _by_place(item: tuple[Place, Element]) -> Place:
    return item[0]


def _state(element: Element) -> WidgetState | None:
    """The state that a browser holds of a widget just drawn; None of buttons, and of what is no widget."""
    kind, widget = element.kind, element.message
    options = getattr(widget, "options", ())
    match kind:
        case "selectbox":
            value = widget.raw_value if widget.set_value else (options or [""])[widget.default]
            return WidgetState(id=widget.id, string_value=value)
        case "text_area" | "text_input":
            value = widget.value if widget.set_value else widget.default
            return WidgetState(id=widget.id, string_value=value)
        case "button_group":
            values = widget.raw_values if widget.set_value else [options[x].content for x in widget.default]
            return WidgetState(id=widget.id, string_array_value={"data": values})
        case "slider" if options:
            values = widget.raw_value if widget.set_value else [options[int(x)] for x in widget.default]
            return WidgetState(id=widget.id, string_array_value={"data": values})
        case "slider":
            values = widget.value if widget.set_value else widget.default
            return WidgetState(id=widget.id, double_array_value={"data": values})
    return None


@dataclass
class _Answer:
    """A rerun that a student waits for. The server does not say which request a run answers: it is the first
    of the right kind that begins after the request, or the one that takes its place."""

    fragment: str
    done: asyncio.Future
    run: str = ""
    whole: bool = False  # that run draws the whole page


class Student:
    """One visitor with one page open. What acts on the page gives the seconds until it has answered, and
    raises NotThereError if it does not."""

    def __init__(self, address: str, cookies: CookieJar | None = None) -> None:
        """`address` of the app, like http://localhost:8501; `cookies` of a visitor who comes back."""
        self.address = address.rstrip("/")
        self.cookies = CookieJar() if cookies is None else cookies
        self.page = Page()
        self.failures: list[str] = []  # exceptions and error boxes that were shown, and lost connections
        self.refreshes: list[float] = []  # seconds from asking for each refresh to having it
        self.received_bytes = 0
        self.cut_short = 0  # pages whose end got lost and that had to be asked for again, see _begin
        self._states: dict[str, WidgetState] = {}
        self._query = self._page_hash = self._main_hash = self._run = ""
        self._pages: dict[str, str] = {}  # hashes, by title
        self._cache: dict[str, tuple[ForwardMsg, int]] = {}
        self._runs = 0
        self._timers: dict[str, tuple[float, asyncio.Task]] = {}
        self._asked: dict[str, float] = {}  # when, of refreshes that have not come yet
        self._answer: _Answer | None = None
        self._news = asyncio.Event()
        self._reader: asyncio.Task | None = None

    async def open(self, query: str = "") -> float:
        """Come to the app's first page."""
        began, self._query = time.perf_counter(), query
        await asyncio.to_thread(self._fetch)
        request = urllib.request.Request(self.address)
        self.cookies.add_cookie_header(request)
        self._socket = await connect(
            self.address.replace("http", "ws", 1) + "/_stcore/stream",
            origin=self.address,
            subprotocols=["streamlit", "PLACEHOLDER_AUTH_TOKEN"],
            additional_headers=request.header_items(),
            proxy=None,
            max_size=None,
            open_timeout=LONGEST_SECONDS,
        )
        self._reader = asyncio.create_task(self._read())
        await self._rerun()
        return time.perf_counter() - began

    async def press(self, label: str) -> float:
        """Press a button."""
        button = self._find("button", label)
        if button.message.disabled:
            raise NotThereError(f"The button {button.label!r} cannot be pressed.")
        return await self._rerun(button.fragment, [WidgetState(id=button.message.id, trigger_value=True)])

    async def choose(self, label: str, option: str) -> float:
        """Choose an option of a selectbox."""
        return await self._set("selectbox", label, string_value=option)

    async def slide(self, label: str, option: str) -> float:
        """Set a slider of options, written as on the slider."""
        return await self._set("slider", label, string_array_value={"data": [option]})

    async def turn_to(self, title: str) -> float:
        """Turn to another page, by its title in the navigation."""
        if title not in self._pages:
            raise NotThereError(f"There is no page {title!r}, only {', '.join(self._pages)}.")
        self._stop_timers()
        self.page.keep(lambda _, each: each.script == self._main_hash)
        self._forget_states()
        bound = {getattr(each.message, "query_param_key", "") for each in self.page.elements.values()}
        query = [pair for pair in urllib.parse.parse_qsl(self._query) if pair[0] in bound]
        self._query = urllib.parse.urlencode(query)
        return await self._rerun(page=self._pages[title])

    async def until(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        """Watch until a condition holds; it is tried whenever the page has changed. Raises NotThereError."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if self._reader.done():
                        raise NotThereError(f"The connection was lost before {what}.")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise NotThereError(f"Not within {seconds:.0f} s: {what}.") from None

    async def leave(self) -> None:
        """Close the page."""
        self._stop_timers()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
            await self._socket.close()

    def _find(self, kind: str, label: str) -> Element:
        found = self.page.find(kind, label)
        if found is None:
            there = ", ".join(map(repr, self.page.texts(kind))) or "none"
            raise NotThereError(f"There is no {kind} {label!r} on the page; there are {there}.")
        return found

    async def _set(self, kind: str, label: str, **value: Any) -> float:
        widget = self._find(kind, label)
        self._states[widget.message.id] = WidgetState(id=widget.message.id, **value)
        return await self._rerun(widget.fragment)

    def _fetch(self) -> None:
        no_proxy, cookies = urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        opener = urllib.request.build_opener(no_proxy, cookies)
        with opener.open(self.address, timeout=LONGEST_SECONDS) as response:
            response.read()

    async def _rerun(self, fragment: str = "", triggers: Sequence[WidgetState] = (), page: str = "") -> float:
        began = time.perf_counter()
        self._answer = answer = _Answer(fragment, asyncio.get_running_loop().create_future())
        try:
            await self._send(fragment, triggers, page)
            async with asyncio.timeout(LONGEST_SECONDS):
                await answer.done
        except TimeoutError:
            how = "begun and not ended" if answer.run else "not begun"
            raise NotThereError(f"After {LONGEST_SECONDS:.0f} s the page's script had {how}.") from None
        finally:
            self._answer = None
        return time.perf_counter() - began

    async def _send(
        self, fragment: str, triggers: Sequence[WidgetState] = (), page: str = "", auto: bool = False
    ) -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.fragment_id, asked.is_auto_rerun = self._query, fragment, auto
        asked.page_script_hash = page or self._page_hash
        asked.widget_states.widgets.extend([*self._states.values(), *triggers])
        asked.cached_message_hashes.extend(self._cache)
        asked.context_info.timezone, asked.context_info.locale = "UTC", "en"
        asked.context_info.url = self.address
        try:
            await self._socket.send(message.SerializeToString())
        except ConnectionClosed:
            raise NotThereError("The connection was lost.") from None

    async def _read(self) -> None:
        try:
            async for data in self._socket:
                self.received_bytes += len(data)
                self._take(ForwardMsg.FromString(data))
            self.failures.append("The server closed the connection.")
        except ConnectionClosed as error:
            self.failures.append(f"The connection was lost: {error}.")
        finally:
            self._stop_timers()
            self._news.set()
            if self._answer is not None:
                self._answer.done.set_exception(NotThereError("The connection was lost."))

    def _take(self, message: ForwardMsg) -> None:
        metadata = message.metadata
        if message.ref_hash:
            message = self._cache[message.ref_hash][0]
        elif metadata.cacheable:
            self._cache[message.hash] = (message, self._runs)
        match message.WhichOneof("type"):
            case "delta":
                self._note(self.page.take(message.delta, metadata, self._run))
            case "new_session":
                self._begin(message.new_session, metadata.run)
            case "script_finished":
                self._end(message.script_finished, metadata.run)
            case "navigation":
                self._pages = {page.page_name: page.page_script_hash for page in message.navigation.app_pages}
            case "page_info_changed":
                self._query = message.page_info_changed.query_string
            case "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._stop_timer(fragment)

    def _note(self, element: Element | None) -> None:
        """Remember what a browser remembers of an element, and what went wrong."""
        if element is None:
            return
        state = _state(element)
        if state is not None and (element.message.set_value or state.id not in self._states):
            self._states[state.id] = state
        if element.kind == "exception":
            self.failures.append(f"{element.message.type}: {element.message.message}")
        elif element.kind == "alert" and element.message.format == Alert.ERROR:
            self.failures.append(element.message.body)

    def _begin(self, session: Any, run: Any) -> None:
        """A script or a fragment begins to run."""
        self._run, answer = run.script_run_id, self._answer
        if not run.fragment_ids:
            self._stop_timers()
            self._main_hash = session.main_script_hash
            if session.page_script_hash != self._page_hash:
                self._page_hash = session.page_script_hash
                self.page.keep(lambda _, each: each.script == self._main_hash)
        if answer is None:
            return
        if not run.fragment_ids:
            answer.run, answer.whole = run.script_run_id, True
        elif answer.run and answer.whole:
            # Streamlit drops what a page still had to send when a fragment's refresh is asked for in the very
            # moment in which the page's script ends. A person would click again.
            self.cut_short += 1
            answer.run = ""
            self._again = asyncio.create_task(self._send(""))
        elif answer.fragment in run.fragment_ids:
            answer.run = run.script_run_id

    def _end(self, status: int, run: Any) -> None:
        """A script or a fragment has run."""
        now, drawn = time.perf_counter(), set(run.fragment_ids)
        answer = self._answer if self._answer and self._answer.run == run.script_run_id else None
        if status == ForwardMsg.FINISHED_EARLY_FOR_RERUN:  # it asked to be run again: that run is the answer
            if answer:
                answer.run = ""
            return
        self.page.keep(
            lambda _, each: each.run == run.script_run_id or (drawn and each.fragment not in drawn)
        )
        self._forget_states()
        self._runs += 1
        self._cache = {key: kept for key, kept in self._cache.items() if self._runs - kept[1] <= _CACHED_RUNS}
        self.refreshes += [now - self._asked.pop(fragment) for fragment in drawn & self._asked.keys()]
        if answer:
            answer.done.set_result(None)
            self._answer = None  # now: what comes next is no answer, even if it is here already
        self._news.set()

    def _forget_states(self) -> None:
        there = {getattr(each.message, "id", "") for each in self.page.elements.values()}
        self._states = {key: state for key, state in self._states.items() if key in there}

    def _start_timer(self, fragment: str, interval: float) -> None:
        if self._timers.get(fragment, (None,))[0] != interval:
            self._stop_timer(fragment)
            self._timers[fragment] = interval, asyncio.create_task(self._refresh(fragment, interval))

    async def _refresh(self, fragment: str, interval: float) -> None:
        """Ask for a fragment again and again, whether or not the last one has come, as a browser does."""
        due = time.perf_counter()
        with contextlib.suppress(NotThereError):  # a lost connection: _read tells of it
            while True:
                due = max(due + interval, time.perf_counter())
                await asyncio.sleep(due - time.perf_counter())
                self._asked.setdefault(fragment, time.perf_counter())
                await self._send(fragment, auto=True)

    def _stop_timer(self, fragment: str) -> None:
        self._asked.pop(fragment, None)
        if fragment in self._timers:
            self._timers.pop(fragment)[1].cancel()

    def _stop_timers(self) -> None:
        for fragment in list(self._timers):
            self._stop_timer(fragment)
