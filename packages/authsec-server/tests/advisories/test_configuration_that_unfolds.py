"""Attack: a pull request puts a file into the repository that the pipeline's `authsec apply --dry-run` reads.

A few lines of YAML can unfold to gigabytes, nest until a parser's stack ends, construct objects, or be read otherwise
by whoever reviews them than by whoever applies them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from authsec_server.cli.yaml_reader import NotReadable, read_yaml
from authsec_server.configuration.api import MAX_DOCUMENT
from click.testing import Result

LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: &loop [*loop]\n",
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "a: !!python/object/apply:os.system [id]\n",
        "a: !!binary aGk=\n",
        "a: !custom x\n",
        "roles: {a: 1, a: 2}\n",
        "<<: {a: 1}\n",
        "? [a, b]\n: c\n",
        "a: 1e400\n",
        "a: 0x1f\n",
        'a: "\\ud83d"\n',
        "a: b\x1b[2J\n",
        "%TAG ! tag:x,2000:\n--- !y z\n",
    ],
)
def test_it_is_refused_at_once_and_nothing_unfolds(text: str) -> None:
    began = time.process_time()
    with pytest.raises(NotReadable):
        list(read_yaml(text))
    assert time.process_time() - began < 5


def test_what_a_terminal_would_obey_is_not_shown(authsec: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "evil.yaml"
    file.write_text('agents:\n  "\\e[2K\\e[1Aharmless":\n    proofs: [{platform: unattested}]\n')
    refused = authsec("apply", "-f", str(file), "--yes")
    assert (refused.exit_code, "\x1b[2K" in refused.stderr) == (1, False)
    file.write_text("agents:\n  h\u0435lper:\n    proofs: [{platform: unattested}]\n")  # a Cyrillic e
    assert "lower-case letters" in authsec("apply", "-f", str(file), "--yes").stderr
    file.write_text('agents:\n  helper:\n    name: "Hel\\u202eper"\n    proofs: [{platform: unattested}]\n')
    assert "invisible" in authsec("apply", "-f", str(file), "--yes").stderr


def test_a_file_of_any_size_is_not_read_whole(authsec: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    file.write_bytes(b"#" * (MAX_DOCUMENT + 1))
    refused = authsec("apply", "-f", str(file))
    assert (refused.exit_code, "is larger than" in refused.stderr) == (1, True)
