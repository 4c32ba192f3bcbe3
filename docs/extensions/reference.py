"""The reference: a page for each public name, for each package, and for each module behind them.

Public is what the ``__all__`` of a package lists, also where it is loaded lazily from an ``__init__.pyi``. A name has
one page, under its shortest path (``graphmix.MixGraph``); its other paths (``graphmix.graph.MixGraph`` and where it is
defined) are entered into the inventory as well, so that references by any of them lead there. Short references in
docstrings are looked up in the module in which the docstring lies.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

import graphmix

PACKAGE = Path(graphmix.__file__).parent
FOLDER = "api"
DIRECTIVES = {"class": "autoclass", "exception": "autoexception", "function": "autofunction", "data": "autodata"}
CALL = re.compile(r"([A-Za-z_][\w.]*)(?:\(.*\))?", re.S)
"""A name, or a call of it."""
HEADINGS = {"class": "Classes", "function": "Functions", "exception": "Errors", "data": "Values"}


@dataclass(frozen=True)
class Entry:
    """A name with a page or a place on one.

    Args:
        home: the path under which it is documented.
        module: in which it is defined.
        name: there.
        kind: a key of :data:`DIRECTIVES`.
        paths: all public paths, `home` first.
        summary: first sentence of its docstring.
    """

    home: str
    module: str
    name: str
    kind: str
    paths: tuple[str, ...] = ()
    summary: str = ""

    @property
    def source(self) -> str:
        """The path by which it is defined."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Module:
    """A module, its docstring's first sentence, and what it defines without an underscore, in order."""

    path: str
    summary: str
    is_package: bool
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name -> (kind, summary)."""


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, in one line."""
    paragraph = " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
    end = paragraph.find(". ")
    return (paragraph if end < 0 else paragraph[: end + 1]).rstrip(":")


def file_of(module: str) -> Path:
    """The Python file of a module."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def imported_names(package: str) -> Mapping[str, tuple[str, str]]:
    """Name -> (module, name there) of what a package imports from, by its stub where it has one."""
    stub = file_of(package).with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else file_of(package)).read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
    return found


def defined_in(package: str, name: str) -> tuple[str, str]:
    """The module in which a package's name is defined, and its name there."""
    module, own = imported_names(package).get(name, (package, name))
    if module == package or not module.startswith("graphmix") or file_of(module).name != "__init__.py":
        return module, own
    return defined_in(module, own)


def kind_of(value: object) -> str:
    """How a value is documented."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if inspect.isroutine(inspect.unwrap(value)) else "data"  # type: ignore[arg-type]


@cache
def modules() -> Mapping[str, Module]:
    """All modules by their path."""
    found = pkgutil.walk_packages(graphmix.__path__, "graphmix.")
    paths = ["graphmix", *(module.name for module in found if not module.name.endswith("__main__"))]
    return {path: read_module(path) for path in paths}


def read_module(path: str) -> Module:
    """What a module's source says."""
    file = file_of(path)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                names[name] = "function", first_sentence(ast.get_docstring(node))
            case ast.ClassDef(name):
                errors = name.endswith("Error")
                names[name] = "exception" if errors else "class", first_sentence(ast.get_docstring(node))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    names[name] = "data", first_sentence(str(after.value.value))
    shown = {name: what for name, what in names.items() if not name.startswith("_")}
    return Module(path, first_sentence(ast.get_docstring(tree)), file.name == "__init__.py", shown)


@cache
def public_names() -> Mapping[str, Entry]:
    """Each public name by each of its public paths."""
    by_source: dict[tuple[str, str], list[str]] = {}
    for package in (module.path for module in modules().values() if module.is_package):
        for name in getattr(importlib.import_module(package), "__all__", ()):
            if not name.startswith("__"):
                by_source.setdefault(defined_in(package, name), []).append(f"{package}.{name}")
    entries = {}
    for (module, name), paths in by_source.items():
        paths.sort(key=lambda path: (path.count("."), path))
        package, own = paths[0].rsplit(".", 1)
        kind = kind_of(getattr(importlib.import_module(package), own))
        summary = modules()[module].names[name][1] if name in modules()[module].names else ""
        entry = Entry(paths[0], module, name, kind, tuple(paths), summary)
        entries |= dict.fromkeys(paths, entry)
    return entries


# --- sources


def heading(text: str, line: str = "=") -> list[str]:
    """A heading in RST."""
    return [text, line * len(text), ""]


def table(rows: list[tuple[str, str]]) -> list[str]:
    """Names and what they are."""
    lines = [".. list-table::", "   :widths: 30 70", "   :class: names", ""]
    for name, summary in rows:
        lines += [f"   * - {name}", f"     - {summary}"]
    return [*lines, ""]


def directive(path: str, kind: str, value: object) -> list[str]:
    """The directive that documents a name; a class shows what it has from bases without a page as its own."""
    lines = [f".. {DIRECTIVES[kind]}:: {path}"]
    if isinstance(value, type):
        lines += ["   :members:", "   :show-inheritance:"]
        bases = value.__mro__[1:]
        if any(is_private(base) for base in bases):
            lines += [f"   :inherited-members: {', '.join(b.__name__ for b in bases if not is_private(b))}"]
    return [*lines, ""]


def is_private(base: type) -> bool:
    """Whether a class is graphmix's and has no page."""
    return base.__module__.startswith("graphmix") and base.__name__.startswith("_")


def name_page(entry: Entry) -> list[str]:
    """The page of a public name."""
    package = entry.home.rsplit(".", 1)[0]
    lines = [":orphan:", "", *heading(entry.home)]
    also = [f"``{path}``" for path in entry.paths[1:]]
    where = f"of :doc:`{package} <{package}>`, defined in :doc:`modules/{entry.module}`"
    lines += [f"{where}{'; also ' if also else ''}{', '.join(also)}", ""]
    value = getattr(importlib.import_module(package), entry.home.rsplit(".", 1)[1])
    return [*lines, f".. py:currentmodule:: {package}", "", *directive(entry.home, entry.kind, value)]


def package_page(package: str) -> list[str]:
    """The page of a package: its docstring and a table of its public names."""
    lines = [*heading(package), f".. automodule:: {package}", ""]
    own = {path: entry for path, entry in public_names().items() if path.rsplit(".", 1)[0] == package}
    for kind, title in HEADINGS.items():
        of_kind = {path: entry for path, entry in sorted(own.items()) if entry.kind == kind}
        if of_kind:
            lines += [f".. rubric:: {title}", ""]
            rows = [
                (f":doc:`{path.rsplit('.', 1)[1]} <{entry.home}>`", entry.summary) for path, entry in of_kind.items()
            ]
            lines += table(rows)
    return lines


def module_page(module: Module) -> list[str]:
    """The page of a module: what is public elsewhere as a table, the rest in full."""
    lines = [":orphan:", "", *heading(module.path), f".. automodule:: {module.path}"]
    if module.is_package or module.path in public_names():
        lines += ["   :no-index:"]
    lines += [""]
    homes = {entry.source: entry.home for entry in public_names().values()}
    public = [(name, summary) for name, (_, summary) in module.names.items() if f"{module.path}.{name}" in homes]
    if public:
        lines += table([(f":doc:`{name} </{FOLDER}/{homes[f'{module.path}.{name}']}>`", text) for name, text in public])
    for name, (kind, _) in module.names.items():
        if f"{module.path}.{name}" not in homes:
            value = getattr(importlib.import_module(module.path), name)
            lines += directive(f"{module.path}::{name}", kind, value)
    return lines


def pages() -> Iterator[tuple[str, list[str]]]:
    """Every page of the reference: path below the folder, lines."""
    packages = sorted({path.rsplit(".", 1)[0] for path in public_names()})
    rows = [(f":doc:`{package}`", modules()[package].summary) for package in packages]
    tree = [".. toctree::", "   :hidden:", "", *(f"   {package}" for package in packages), "   modules/index", ""]
    text = "Each public name has a page. What lies behind them is listed :doc:`module by module <modules/index>`."
    yield "index", [*heading("Reference"), text, "", *table(rows), *tree]
    for package in packages:
        yield package, package_page(package)
    for entry in set(public_names().values()):
        yield entry.home, name_page(entry)
    rows = [(f":doc:`{path}`", module.summary) for path, module in sorted(modules().items())]
    yield "modules/index", [*heading("Modules"), *table(rows)]
    for module in modules().values():
        yield f"modules/{module.path}", module_page(module)


def write_pages(app: Sphinx) -> None:
    """Write the sources; what is as it was keeps its time, what is gone goes."""
    folder = Path(app.srcdir) / FOLDER
    wanted = {folder / f"{name}.rst": "\n".join(lines) for name, lines in pages()}
    (folder / "modules").mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for stale in set(folder.rglob("*.rst")) - set(wanted):
        stale.unlink()


# --- references


def document_data(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """The text below a value's definition, where a package imports the value from elsewhere."""
    entry = public_names().get(name)
    if what == "data" and entry is not None:
        texts = ModuleAnalyzer.for_module(entry.module).find_attr_docs()
        lines[:] = texts.get(("", entry.name), [])


def public_bases(app: Sphinx, name: str, value: type, options: Any, bases: list[Any]) -> None:
    """Bases that have a page, or a site of their own."""
    while hidden := next((base for base in bases if isinstance(base, type) and is_private(base)), None):
        place = bases.index(hidden)
        above = [base for base in hidden.__bases__ if base is not object and base not in bases]
        bases[place : place + 1] = above


def enter_paths(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Enter all paths of public names, and of their members, into the inventory."""
    domain = env.get_domain("py")
    for home, entry in {entry.home: entry for entry in public_names().values()}.items():
        known = {path: found for path, found in domain.objects.items() if path == home or path.startswith(f"{home}.")}
        for alias in {*entry.paths, entry.source} - {home}:
            for path, found in known.items():
                name = alias + path.removeprefix(home)
                if name not in domain.objects:
                    domain.objects[name] = found._replace(aliased=True)
    return []


def find_reference(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, shown: nodes.Node) -> Any:
    """A short reference in a docstring, looked up in the module in which the docstring lies."""
    if node.get("refdomain") != "py":
        return None
    target, package, owner = node["reftarget"].lstrip("."), node.get("py:module"), node.get("py:class")
    entry = public_names().get(".".join(filter(None, [package, owner])).split("(")[0])
    module = entry.module if entry else package
    domain = env.get_domain("py")
    places = [f"{module}.{owner}.{target}" if owner else "", f"{module}.{target}", target, imported_as(module, target)]
    found = next((domain.objects[place] for place in places if place in domain.objects), None)
    if found is None:
        nodes_of = {(o.docname, o.node_id): o for path, o in domain.objects.items() if path.endswith(f".{target}")}
        found = next(iter(nodes_of.values())) if len(nodes_of) == 1 else None
    if found is None:
        return None
    return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, shown, target)


def imported_as(module: str | None, target: str) -> str:
    """The path by which what a module calls `target` is defined; empty if it is nothing of that module."""
    if not module or not module.startswith("graphmix"):
        return ""
    first, _, rest = target.partition(".")
    try:
        value = getattr(importlib.import_module(module), first)
    except (ImportError, AttributeError):
        return ""
    path = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    return f"{path}.{rest}" if rest else path


class LinkNames(SphinxPostTransform):
    """Names in code font on the pages, such as ``load_graph`` or ``render_song(graph, song)``, lead to the reference.

    A name that is a plain word (``mine``, ``fit``) is often a command or an argument, and is left alone.
    """

    default_priority = 200
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Link what is unique."""
        page = self.env.current_document.docname
        if page.startswith(f"{FOLDER}/"):
            return
        for node in list(self.document.findall(nodes.literal)):
            found = CALL.fullmatch(node.astext())
            entry = named(found[1]) if found and not isinstance(node.parent, nodes.reference | nodes.title) else None
            if entry:
                place = self.env.get_domain("py").objects[entry.home]
                link = make_refnode(self.app.builder, page, place.docname, place.node_id, node.deepcopy(), entry.home)
                node.replace_self(link)


def named(text: str) -> Entry | None:
    """The public name that a text in code font means: a path, or a name that only one thing has."""
    if text in public_names() or "." in text or (text.islower() and "_" not in text):
        return public_names().get(text)
    entries = {entry for entry in public_names().values() if entry.name == text}
    return entries.pop() if len(entries) == 1 else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Write sources before they are looked for; resolve what is left over."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", document_data)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("env-updated", enter_paths)
    app.connect("missing-reference", find_reference)
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
