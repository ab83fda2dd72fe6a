"""Docstrings, which are plain Markdown, as reStructuredText, which Sphinx reads."""

import itertools
import re

BULLETS = ("- ", "* ")
CODE_OR_SIGN = re.compile(r"^( *[*] )|`([^`]+)`(?=(\S)?)|[|*]|(?<=\w)_(?!\w)", re.MULTILINE)


def from_markdown(lines: list[str]) -> list[str]:
    """Plain Markdown as reStructuredText: indented blocks become literal, lists get a blank line before them, single
    backticks become double ones, and |x|, 2 * x and name_ stay as they are."""

    def escape(match: re.Match) -> str:
        bullet, code, following = match.groups()
        if code:
            return f"``{code}``" + ("\\ " if following else "")
        return bullet or "\\" + match[0]

    marked: list[tuple[bool, str]] = []  # is it literal, line
    above, outside = 0, None  # indents: of the last line of text, of the text around a literal block
    for line in lines:
        indent = len(line) - len(line.lstrip())
        before = marked[-1][1].strip() if marked else ""
        if outside is not None and line.strip() and indent <= outside:
            outside = None
        if outside is None and line.strip():
            if marked and not before and indent > above:
                marked += [(False, " " * above + "::"), (False, "")]
                outside = above
            elif (
                line.lstrip().startswith(BULLETS)
                and before
                and not before.startswith(BULLETS)
                and indent >= above
            ):
                marked.append((False, ""))
            above = indent
        marked.append((outside is not None, line))
    result = []
    for literal, group in itertools.groupby(marked, key=lambda pair: pair[0]):
        text = "\n".join(line for _, line in group)
        if not literal:
            text = CODE_OR_SIGN.sub(escape, text)
        result += text.split("\n")
    return result
