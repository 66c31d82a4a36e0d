"""Guards that are broken on purpose, one edit of the source each.

A search that does not notice them would prove nothing.  Each is made in memory, in a
process of its own.
"""

import faulthandler
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

SECONDS = 100  # a mutant may hang

# Name: the module, what is in it, and what is put in its place.
MUTANTS = {
    # the claim
    "nobody claims": ("body", "body = self._pending.pop()", "body = self._pending[-1]"),
    "claimed after the call": (
        "body",
        (
            "body = self._pending.pop()\n        except IndexError:\n            return\n"
            "        try:\n            body.close()"
        ),
        (
            "body = self._pending[-1]\n        except IndexError:\n            return\n"
            "        try:\n            body.close()\n            self._pending.clear()"
        ),
    ),
    "claim given back after an error": (
        "body",
        "        except ValueError as error:",
        (
            "        except LookupError:\n            self._pending.append(body)\n"
            "            raise\n"
            "        except ValueError as error:"
        ),
    ),
    "the queue closes without a claim": (
        "dropped",
        "body = self._pending.pop()",
        "body = self._pending[-1]",
    ),
    "an error is swallowed": (
        "body",
        "        except ValueError as error:",
        "        except LookupError:\n            pass\n        except ValueError as error:",
    ),
    # early
    "closed when it is exhausted": (
        "body",
        "    def __del__(self) -> None:\n        if self._pending:",
        (
            "    def __next__(self):\n        try:\n            return super().__next__()\n"
            "        except StopIteration:\n            self.close()\n            raise\n\n"
            "    def __del__(self) -> None:\n        if self._pending:"
        ),
    ),
    # where it is dropped
    "a drop is not noticed": (
        "body",
        "        if self._pending:\n            dropped.dropped(self)",
        "        pass",
    ),
    "a file is not guarded": ("body", "body.close = claim", "claim._pending.clear()"),
    "a file claims without noticing the drop": (
        "body",
        "    __del__ = GuardedBody.__del__\n",
        "",
    ),
    "closed whatever thread drops it": (
        "dropped",
        '        and getattr(here, "thread", None) is thread\n',
        "",
    ),
    "closed though a newer response is open": (
        "dropped",
        "        and thread.serial == claim._serial\n",
        "",
    ),
    "a response does not count as newer": (
        "guard",
        "guarded_body._serial = thread.serial = thread.serial + 1",
        "guarded_body._serial = thread.serial",
    ),
    "closed while an application is called": (
        "dropped",
        "        and not _inside_a_call(frame)\n",
        "",
    ),
    "closed within a collection": (
        "dropped",
        "    collected = collecting_here() or",
        "    collected = False and",
    ),
    "a collection never starts": ("dropped", 'phase == "start"', "False"),
    "a collection never ends": ("dropped", 'phase == "start"', "True"),
    "never closed where it is dropped": (
        "dropped",
        "        if not collected and (",
        "        if False and (",
    ),
    "what cannot be closed there is lost": (
        "dropped",
        "        drop.wait()\n\n\ndef _place_of",
        "        if drop._taken:\n            drop.wait()\n\n\ndef _place_of",
    ),
    "what was closed there is not counted": (
        "dropped",
        "        drop.wait()\n\n\ndef _place_of",
        "        if not drop._taken:\n            drop.wait()\n\n\ndef _place_of",
    ),
    # the queue
    "not settled before a request": ("guard", "        if waiting:", "        if False:"),
    "not settled after a close": (
        "body",
        "            if waiting:",
        "            if False:",
    ),
    "not settled after a close that raises": (
        "body",
        "        finally:\n            if waiting:",
        "        else:\n            if waiting:",
    ),
    "settled while an application is called": (
        "dropped",
        " or _inside_a_call(sys._getframe(1).f_back):",
        ":",
    ),
    "settled within a collection": ("dropped", " or collecting_here()", ""),
    "settled within a settling": ("dropped", "thread.settling = True", "pass"),
    "settled only once": ("dropped", "    thread.settling = False", "    pass"),
    "settled without a limit": (
        "dropped",
        "range(min(len(self.drops), most))",
        "range(len(self.drops))",
    ),
    "settled without a limit over all": ("dropped", "MOST_AT_ONCE - settled", "MOST_AT_ONCE"),
    "no other thread is looked at": (
        "dropped",
        "range(min(len(waiting), MOST_AT_ONCE))",
        "range(0)",
    ),
    "its own are not looked at first": (
        "dropped",
        "settled = thread.settle(thread, MOST_AT_ONCE)",
        "settled = 0",
    ),
    "what is not due is forgotten": (
        "dropped",
        "        if owner.drops:\n            owner.announce()",
        "        pass",
    ),
    "nobody is told for whom something waits": (
        "dropped",
        "        thread.announce()",
        "        pass",
    ),
    "announced once and for all": (
        "dropped",
        "    owner.announced = False",
        "    owner.announced = True",
    ),
    "what is not due is taken": (
        "dropped",
        "                if self.drops[0].due(thread) is None:\n                    break\n",
        "",
    ),
    "any thread closes what waits": ("dropped", " or thread is self.thread or", " or True or"),
    "its own thread does not close what waits": (
        "dropped",
        " or thread is self.thread or",
        " or",
    ),
    "an error from what waits reaches a request": (
        "dropped",
        "except Exception as error:  # noqa: BLE001 - it is reported",
        "except ZeroDivisionError as error:",
    ),
    "closed by another finalizer, and reported": (
        "dropped",
        "            elif self._taken:",
        "            elif True:",
    ),
    # threads
    "the end of a thread is not noticed": (
        "dropped",
        "self._thread.alive = False",
        "pass",
    ),
    "what an ended thread left waits on": (
        "dropped",
        "thread is None or not self.thread.alive",
        "thread is None",
    ),
    "nothing is ever overdue": (
        "dropped",
        "monotonic() - self._since > OVERDUE_SECONDS",
        "False",
    ),
    "all threads are one": (
        "dropped",
        "threading.local()",
        'type("Storage", (), {})()',
    ),
    # processes
    "a child closes what it inherits": (
        "dropped",
        "thread.process is not _process or ",
        "",
    ),
    "a child believes that it is its parent": (
        "dropped",
        "    _process = object()\n    _anybody",
        "    _anybody",
    ),
    "a child inherits the queue": ("dropped", "    waiting.clear()\n", ""),
}


class Edited(SourceFileLoader):
    """Loads one module with one edit in it."""

    def __init__(self, name, path, old, new):
        super().__init__(name, path)
        self._edit = old, new

    def get_code(self, fullname):
        source = Path(self.path).read_text(encoding="utf-8")
        old, new = self._edit
        if source.count(old) != 1:
            raise SystemExit(f"a mutant must fit once, got {source.count(old)} times {old!r}")
        return compile(source.replace(old, new), self.path, "exec")


class Editor(MetaPathFinder):
    """Finds the module that a mutant edits."""

    def __init__(self, name):
        module, self._old, self._new = MUTANTS[name]
        self._module = f"freedom_middleware.{module}"

    def find_spec(self, fullname, path, target=None):
        if fullname != self._module:
            return None
        origin = PathFinder.find_spec(fullname, path).origin
        loader = Edited(fullname, origin, self._old, self._new)
        return spec_from_file_location(fullname, origin, loader=loader)


def install(name):
    """Break the package, before it is imported."""
    if any(module.startswith("freedom_middleware.") for module in sys.modules):
        raise AssertionError("a mutant must be made before the package is imported")
    sys.meta_path.insert(0, Editor(name))


def run(name, search):
    """Run *search* on a mutant, in a child process; return how it was noticed, or ""."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            install(name)
            os.write(writing, b"." + search().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    if not answer:
        raise AssertionError(f"mutant {name!r}: the search itself failed")
    return answer[1:]
