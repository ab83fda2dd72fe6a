"""Keys and readers' answers as files."""

import json


def write_key(folder, *rows):
    """key.json of strips 001, 002, …"""
    (folder / "key.json").write_text(json.dumps({f"{i:03d}": row for i, row in enumerate(rows, 1)}))
    return folder


def answer(folder, name, *given):
    """A reader's file: the answers to strips 001, 002, …"""
    path = folder / name
    path.write_text(json.dumps({f"{i:03d}": content for i, content in enumerate(given, 1)}))
    return path
