"""Lays out the pages of the site: README.md and docs/ as they are, what they link to at its own place, and a page of the API for each public header.

  site_pages.py REPOSITORY FOLDER
"""
import pathlib
import re
import shutil
import sys

LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"^(?:template <.*>\s*)?(?:enum class|class|struct|using|namespace)\s+(\w+)|^#define (\w+)|(\w+)\(", re.MULTILINE)


class Pages:
    def __init__(self, root, folder):
        self.root, self.folder = root, folder

    def add(self, path):
        """A file or folder of the repository, at the same place; of a page, also what it links to."""
        target = self.folder / path
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self.root / path
        if source.is_dir():
            target.mkdir()
            files = sorted(file.name for file in source.iterdir() if file.is_file())
            for name in files:
                shutil.copy(source / name, target / name)
            if "README.md" not in files:
                (target / "index.md").write_text(f"# {path}\n\n" + "".join(f"- [{name}]({name})\n" for name in files))
        elif source.suffix != ".md":
            shutil.copy(source, target)
        else:
            target.write_text("")  # before what links back
            target.write_text(self.linked(source))

    def linked(self, page):
        def follow(match):
            link = match[2]
            target = (page.parent / link).resolve()
            if "://" in link or not target.is_relative_to(self.root) or not target.exists():
                return match[0]  # MkDocs says what does not exist
            self.add(target.relative_to(self.root))
            if target.is_dir():
                link = link.rstrip("/") + ("/README.md" if (target / "README.md").exists() else "/index.md")
            return match[1] + link + match[3]

        text, done, end = page.read_text(), [], 0
        for fence in FENCE.finditer(text):
            done += [LINK.sub(follow, text[end : fence.start()]), fence[0]]
            end = fence.end()
        return "".join(done) + LINK.sub(follow, text[end:])


def plain(comment):
    """Lines of a comment as Markdown; names in it stay names, an empty line ends a paragraph."""
    lines = [line.removeprefix("//").strip() for line in comment]
    return re.sub(r"([<>*_])", r"\\\1", " ".join(line or "\n\n" for line in lines))


def blocks(lines):
    """Parts of a header's namespace, which empty lines separate, as (comment, code); one that braces hold together is one."""
    part, depth = [], 0
    for line in [*lines, ""]:
        depth += 0 if line.lstrip().startswith("//") else line.count("{") - line.count("}")
        if line.strip() or depth > 0:
            part.append(line)
        elif part:
            comment = next((i for i, row in enumerate(part) if not row.startswith("//")), len(part))
            yield part[:comment], part[comment:]
            part = []


def api_page(header):
    text = header.read_text()
    about, _, rest = text.partition("\n#pragma once\n")
    lines = [line for line in rest.splitlines() if not re.match(r"#include|namespace gsnake(::\w+)* \{$|\}  // namespace", line)]
    page = [f"# {header.name}\n", plain(about.splitlines()) + "\n", f"```cpp\n#include <greedysnake/{header.name}>\n```\n"]
    for comment, code in blocks(lines):
        name = NAME.search("\n".join(code))
        if code and code[0].startswith("namespace "):  # of others' declarations
            continue
        if name:
            page.append(f"## {name[1] or name[2] or name[3]}\n")
        if comment:
            page.append(plain(comment) + "\n")
        if code:
            page.append("```cpp\n" + "\n".join(code) + "\n```\n")
    return "\n".join(page)


def main(root, folder):
    shutil.rmtree(folder, ignore_errors=True)
    pages = Pages(root, folder)
    for path in [pathlib.Path("README.md"), *(file.relative_to(root) for file in sorted((root / "docs").rglob("*.md")))]:
        pages.add(path)
    (folder / "assets").mkdir()
    shutil.copy(root / "scripts/site_search.js", folder / "assets/iframe-worker.js")
    (folder / "assets/site.css").write_text(".md-typeset pre > code { white-space: pre-wrap; }\n")  # comments in headers are longer than a page is wide
    (folder / "api").mkdir()
    headers = sorted((root / "include/greedysnake").glob("*.h"))
    for header in headers:
        (folder / "api" / f"{header.stem}.md").write_text(api_page(header))
    listed = "".join(f"- [{header.name}]({header.stem}.md): {plain([header.read_text().splitlines()[0]])}\n" for header in headers)
    (folder / "api" / "index.md").write_text("# C++ API\n\nThe public headers, of the namespace `gsnake`. Everything that an outside program may use is here.\n\n" + listed)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]))
