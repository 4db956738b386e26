#!/usr/bin/env python3
"""Seeds faults into the core, one at a time, and says which tests notice.

    kernel-support/core/mutate.py            all
    kernel-support/core/mutate.py WORD...    those whose description has one of the words

Works on the files of this directory and puts them back. A fault that no test notices makes the status 1. A test that
hangs has noticed: what is not answered is waited for.
"""

import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# Those that take long come last.
TESTS = [["--lib", "--test", "decisions", "--test", "handlers", "--test", "lifecycle"], ["--test", "loom"]]
SECONDS = 240

# What goes wrong, where, and how.
FAULTS = [
    ("missing response: a dropped group is forgotten", "group.rs", "self.answer(Code::Invalid);", "drop(self.ticket.take());"),
    ("wrong answer: an error is a success", "group.rs", "resolved.map_or_else(Code::from, |()| Code::Success)", "Code::Success"),
    ("wrong answer: an invalid address is a failure", "group.rs", "Unresolved::Invalid | Unresolved::Deferred => Self::Invalid", "Unresolved::Invalid | Unresolved::Deferred => Self::Failure"),
    ("wrong answer: a deferred group is answered at once", "group.rs", "Err(Unresolved::Deferred) => None,", "Err(Unresolved::Deferred) if false => None,"),
    ("off by one: a group forgets its last request", "group.rs", "return self.last.take();", "return None;"),
    ("off by one: a group's last request is not handled", "group.rs", ".and_then(|()| handler.populate(space, &ticket.last))", ""),
    ("off by one: a group's first requests are not handled", "group.rs", "at: ticket.chain.head(),\n                    last: None,", "at: u32::MAX,\n                    last: None,"),
    ("wrong tag: an answer carries nothing of its request", "group.rs", "            code,\n            tag,\n", "            code,\n            tag: tag & 0,\n"),
    ("leaked reference: a handle never counts out", "handle.rs", "clean_up::<P>(self.inner.gate.leave(), &self.table, self.number);", ""),
    ("stale handle: a replacement leaves the old one in place", "handle.rs", "owner.pasid.publish_over::<L>(&inner);", ""),
    ("stale handle: a replaced one stays open", "handle.rs", "        owner.inner.gate.close();\n        let new", "        let new"),
    ("wrong lookup: another address space is ours", "pasid.rs", "Some(inner) if inner.key() == *key => HandleRef", "Some(inner) => HandleRef"),
    ("wrong lookup: a detaching handle is free", "pasid.rs", ".unwrap_or(Peek::Busy(busy))", ".unwrap_or(Peek::Free)"),
    ("diverted: a PASID in use goes to the user", "iopf.rs", "(None, Some(fallback)) => self.iopf.table.acquire_user(fallback),", "(_, Some(fallback)) => self.iopf.table.acquire_user(fallback),"),
    ("diverted: to whatever is at the fallback", "pasid.rs", "            _ => Err(None),\n        }\n    }", "            other => Ok(other),\n        }\n    }"),
    ("answered twice: a receipt opens again after its place was used", "ledger.rs", "if place.generation != receipt.generation {", "if false {"),
    ("leaked place: a taken group's place is not vacant again", "ledger.rs", "            place.next = ledger.vacant;\n            ledger.vacant = receipt.at;\n", ""),
    ("late deposit: a closed ledger takes groups", "ledger.rs", "Some(place) if !ledger.closed => place,", "Some(place) => place,"),
    ("unanswered: closing gives out nothing", "ledger.rs", "while let Some(place) = ledger.places.get_mut(at) {", "while let Some(place) = ledger.places.get_mut(usize::MAX - at) {"),
    ("lost entries: a table that grows forgets", "pasid.rs", "*new = old.take();", "drop(old.take()); let _ = &new;"),
    ("no bound: a table grows past its limit", "pasid.rs", "let wanted = wanted.min(entries_max);", "let wanted = wanted.max(entries_max + 1);"),
    ("overflow in silence: discarded groups are not answered", "iopf.rs", "Discard::Forget => iopf.state.with(|state| state.forget(None)),\n        Discard::AnswerInvalid => {", "Discard::Forget | Discard::AnswerInvalid if true => iopf.state.with(|state| state.forget(None)),\n        Discard::Forget | Discard::AnswerInvalid => {"),
    ("off by one group: one more than may be in flight", "state.rs", "self.outstanding >= self.groups_max", "self.outstanding > self.groups_max"),
    ("stuck: removal is not told of the last answer", "state.rs", "self.phase != Phase::Enabled && self.is_idle()", "self.phase == Phase::Enabled && self.is_idle()"),
    ("stuck: an answer is still owed when it was given", "state.rs", "        self.outstanding -= 1;\n", ""),
    ("leaked room: an answered group keeps its partial requests", "state.rs", "        self.partials.pool.release(chain);\n        self.outstanding", "        let _ = chain;\n        self.outstanding"),
    ("too late: a request after the drain is answered", "state.rs", "        if self.phase == Phase::Closed {\n            return Verdict::Closed", "        if false {\n            return Verdict::Closed"),
    ("too early: a device that owes an answer is drained", "state.rs", "self.outstanding == 0 && self.bonds == 0", "self.bonds == 0"),
    ("too early: a device with a bond is drained", "state.rs", "self.outstanding == 0 && self.bonds == 0", "self.outstanding == 0"),
    ("torn: a closed handle lets references in", "gate.rs", "if word & CLOSED != 0 || word & COUNT == COUNT {", "if word & COUNT == COUNT {"),
    ("lost wake-up: the last reference tells nobody", "gate.rs", "        self.drained.notify();\n", ""),
]


def noticed():
    """The first test that fails, or None."""
    return next(filter(None, map(fails, TESTS)), None)


def fails(tests):
    """The first of these tests that fails, or None."""
    # Built first: what takes long after that is a test.
    command = ["cargo", "test", "-q", "-p", "sva-core", *tests]
    built = subprocess.run([*command, "--no-run"], capture_output=True, text=True)
    if built.returncode != 0:
        broken = [line for line in built.stderr.splitlines() if line.startswith("error")]
        raise SystemExit(f"does not build: {broken[:1]}")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # A group of its own: a test that hangs is cargo's child, not ours.
    running = subprocess.Popen(command, start_new_session=True, **pipes)
    try:
        said, _ = running.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        return "a test that waits for an answer"
    if running.returncode == 0:
        return None
    lines = said.splitlines()
    failed = [line.split()[1] for line in lines if line.startswith("---- ")]
    return failed[0] if failed else "a test that was aborted"


def main():
    words, missed = sys.argv[1:], 0
    for what, name, before, after in FAULTS:
        if words and not any(word in what for word in words):
            continue
        path = HERE / "src" / name
        text = path.read_text()
        if text.count(before) < 1:
            raise SystemExit(f"{name} has no longer: {before}")
        try:
            path.write_text(text.replace(before, after, 1))
            test = noticed()
        finally:
            path.write_text(text)
        missed += test is None
        print(f"{'MISSED' if test is None else 'caught'}  {what}: {test or 'no test fails'}", flush=True)
    return missed > 0


sys.exit(main())
