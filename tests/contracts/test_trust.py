"""Files from strangers are data: nothing in the package can run what one of them says. SECURITY.md promises it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kerastune_recipes"

# Modules whose files, or whose strings, are programs.
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "code", "codeop"}
# Functions that run what they are given, by their names as they are called.
FUNCTIONS = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.full_load", "yaml.unsafe_load", "yaml.full_load_all", "yaml.unsafe_load_all"),
    # Image.open takes files of all formats, of which PostScript is a program; ours are in data/image_formats.py.
    *("pandas.read_pickle", "Image.open", "PIL.Image.open", "ImageMath.eval", "ImageMath.unsafe_eval"),
    *("enable_unsafe_deserialization", "keras.config.enable_unsafe_deserialization"),
}
# Functions that are safe with one argument only, and that argument.
WITH_ARGUMENT = {
    "torch.load": ("weights_only", True),
    "keras.saving.load_model": ("safe_mode", True),
    "keras.models.load_model": ("safe_mode", True),
}
# Arguments that make any function unsafe.
ARGUMENTS = {"shell": True, "allow_pickle": True, "safe_mode": False, "weights_only": False}
# Loaders of YAML that build nothing but numbers, texts, lists and dictionaries.
SAFE_LOADERS = {"SafeLoader", "CSafeLoader", "yaml.SafeLoader", "yaml.CSafeLoader"}
SHORT = {"np": "numpy", "pd": "pandas", "tf": "tensorflow"}


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` as it is written, with the usual short names of packages in full; "" for anything else."""
    if isinstance(node, ast.Name):
        return SHORT.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{owner}.{node.attr}" if (owner := dotted(node.value)) else ""
    return ""


def dangers(source: str) -> list[str]:
    """Return what in a program could run a file or a text, with line numbers."""
    tree = ast.parse(source)
    # Classes of the module itself that restrict a safe loader further.
    loaders = SAFE_LOADERS | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and {dotted(base) for base in node.bases} & SAFE_LOADERS
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0], *(f"{node.module}.{alias.name}" for alias in node.names)}
        else:
            names = set()
        found += [f"{node.lineno}: imports {name}" for name in names & (MODULES | FUNCTIONS | set(WITH_ARGUMENT))]
        if isinstance(node, ast.Call):
            found += [f"{node.lineno}: {danger}" for danger in _dangers_of_call(node, loaders)]
    return found


def _dangers_of_call(call: ast.Call, loaders: set[str]) -> list[str]:
    name = dotted(call.func)
    given = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    found = [f"calls {name}"] if name in FUNCTIONS else []
    found += [f"{argument}={value}" for argument, value in ARGUMENTS.items() if given.get(argument) is value]
    if name in WITH_ARGUMENT:
        argument, value = WITH_ARGUMENT[name]
        found += [] if given.get(argument) is value else [f"calls {name} without {argument}={value}"]
    if name in ("yaml.load", "yaml.load_all"):
        chosen = {dotted(value) for value in [*call.args[1:], *(word.value for word in call.keywords)]}
        found += [] if chosen & loaders else [f"calls {name} without a safe loader"]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_run_what_a_file_says(path):
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import pickle", "1: imports pickle"),
        ("import joblib.memory", "1: imports joblib"),
        ("from dill import loads", "1: imports dill"),
        ("from os import system", "1: imports os.system"),
        ("from torch import load\n", "1: imports torch.load"),
        ("x = 1\nnp.load(file, allow_pickle=True)", "2: allow_pickle=True"),
        ("torch.load(file)", "1: calls torch.load without weights_only=True"),
        ("torch.load(file, weights_only=False)", "1: weights_only=False"),
        ("keras.saving.load_model(file)", "1: calls keras.saving.load_model without safe_mode=True"),
        ("layer.from_config(config, safe_mode=False)", "1: safe_mode=False"),
        ("keras.config.enable_unsafe_deserialization()", "1: calls keras.config.enable_unsafe_deserialization"),
        ("yaml.load(text)", "1: calls yaml.load without a safe loader"),
        ("yaml.load(text, Loader=yaml.FullLoader)", "1: calls yaml.load without a safe loader"),
        ("yaml.unsafe_load(text)", "1: calls yaml.unsafe_load"),
        ("eval(text)", "1: calls eval"),
        ("exec(text)", "1: calls exec"),
        ("subprocess.run(words, shell=True)", "1: shell=True"),
        ("os.system(words)", "1: calls os.system"),
        ("pd.read_pickle(file)", "1: calls pandas.read_pickle"),
        ("Image.open(file)", "1: calls Image.open"),
    ],
)
def test_each_danger_is_found(source, danger):
    assert danger in dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "np.load(file)",
        "torch.load(file, map_location='cpu', weights_only=True)",
        "keras.saving.load_model(file, safe_mode=True)",
        "yaml.safe_load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "class Strict(yaml.SafeLoader): ...\nyaml.load(text, Strict)",
        "model.compile(optimizer)\nre.compile(text)\nmodel.eval()",
        "subprocess.run(words)",
    ],
)
def test_what_is_safe_is_not_taken_for_a_danger(source):
    assert dangers(source) == []
