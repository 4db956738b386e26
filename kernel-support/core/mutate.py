#!/usr/bin/env python3
"""Seeds faults into the core, one at a time, and says which tests notice.

    kernel-support/core/mutate.py            all
    kernel-support/core/mutate.py WORD...    those whose description has one of the words

Works on the files of this directory and puts them back. A fault that no test notices makes the status 1. A test that
hangs has noticed: what is not answered is waited for.
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
TESTS = ["--lib", "--test", "decisions", "--test", "handlers", "--test", "lifecycle"]
SECONDS = 90

# What goes wrong, where, and how.
FAULTS = [
    ("missing response: a dropped group is forgotten", "group.rs", "self.answer(Code::Invalid);", "drop(self.chain.take());"),
    ("wrong answer: an error is a success", "group.rs", "resolved.map_or_else(Code::from, |()| Code::Success)", "Code::Success"),
    ("wrong answer: an invalid address is a failure", "group.rs", "Unresolved::Invalid | Unresolved::Deferred => Self::Invalid", "Unresolved::Invalid | Unresolved::Deferred => Self::Failure"),
    ("wrong answer: a deferred group is answered at once", "group.rs", "if resolved == Err(Unresolved::Deferred) {", "if false && resolved == Err(Unresolved::Deferred) {"),
    ("off by one: a group forgets its last request", "group.rs", "None => self.last.take(),", "None => None,"),
    ("wrong tag: an answer carries nothing of its request", "group.rs", "PageResponse { pasid, index, code, tag }", "PageResponse { pasid, index, code, tag: tag & 0 }"),
    ("leaked reference: a handle never counts out", "handle.rs", "clean_up::<P>(self.inner.gate.leave(), &self.table, self.number);", ""),
    ("stale handle: a replacement leaves the old one in place", "handle.rs", "owner.pasid.publish_over::<L>(&inner);", ""),
    ("stale handle: a replaced one stays open", "handle.rs", "        owner.inner.gate.close();\n        let new", "        let new"),
    ("wrong lookup: another address space is ours", "pasid.rs", "Some(inner) if inner.key() == *key => {", "Some(inner) => {"),
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
]


def noticed():
    """The first test that fails, or None."""
    command = ["cargo", "test", "-q", "-p", "sva-core", *TESTS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "a test that waits for an answer"
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).splitlines()
    failed = [line.split()[1] for line in lines if line.startswith("---- ")]
    if not failed:
        broken = [line for line in lines if line.startswith("error")]
        raise SystemExit(f"does not build: {broken[:1]}")
    return failed[0]


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
