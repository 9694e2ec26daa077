"""Languages known by name and kind only: cut by lines until they get a grammar and a file of their own."""

from __future__ import annotations

from skep.knowledge.chunking.language import Language

_CODE: tuple[tuple[str, str, str, str], ...] = (
    # name, extensions, file names, shebangs
    ("astro", ".astro", "", ""),
    ("batch", ".bat .cmd", "", ""),
    ("clojure", ".clj .cljs .cljc .edn", "", "bb"),
    ("cmake", ".cmake", "cmakelists.txt", ""),
    ("coffeescript", ".coffee", "cakefile", "coffee"),
    ("crystal", ".cr", "", "crystal"),
    ("cython", ".pyx .pxd .pxi", "", ""),
    ("d", ".d", "", ""),
    ("dart", ".dart", "", ""),
    ("dockerfile", ".dockerfile", "dockerfile containerfile", ""),
    ("elm", ".elm", "", ""),
    ("erlang", ".erl .hrl", "", "escript"),
    ("fish", ".fish", "", "fish"),
    ("fortran", ".f .f90 .f95 .f03", "", ""),
    ("fsharp", ".fs .fsi .fsx", "", ""),
    ("glsl", ".glsl .vert .frag .comp", "", ""),
    ("graphql", ".graphql .gql", "", ""),
    ("groovy", ".groovy .gradle .gvy", "jenkinsfile", "groovy"),
    ("jinja", ".j2 .jinja .jinja2 .njk", "", ""),
    ("julia", ".jl", "", "julia"),
    ("just", ".just", "justfile", "just"),
    ("lisp", ".lisp .lsp .el .scm .rkt", "", "sbcl guile racket"),
    ("make", ".mk .mak", "makefile gnumakefile", "make"),
    ("matlab", ".m", "", ""),
    ("nim", ".nim .nims", "", ""),
    ("nix", ".nix", "", ""),
    ("objective_cpp", ".mm", "", ""),
    ("ocaml", ".ml .mli", "", "ocaml"),
    ("pascal", ".pas .pp", "", ""),
    ("perl", ".pl .pm .t", "", "perl"),
    ("powershell", ".ps1 .psm1 .psd1", "", "pwsh"),
    ("prisma", ".prisma", "", ""),
    ("protobuf", ".proto", "", ""),
    ("r", ".r", ".rprofile", "rscript"),
    ("sass", ".sass", "", ""),
    ("solidity", ".sol", "", ""),
    ("starlark", ".bzl .star", "build build.bazel workspace", ""),
    ("svelte", ".svelte", "", ""),
    ("tcl", ".tcl", "", "tclsh wish"),
    ("terraform", ".tf .tfvars .hcl", "", ""),
    ("thrift", ".thrift", "", ""),
    ("verilog", ".v .sv .svh", "", ""),
    ("vb", ".vb .vbs", "", ""),
    ("vhdl", ".vhd .vhdl", "", ""),
    ("vim", ".vim", ".vimrc", ""),
    ("vue", ".vue", "", ""),
    ("wgsl", ".wgsl", "", ""),
    ("assembly", ".s .asm", "", ""),
    ("awk", ".awk", "", "awk gawk"),
)

_CONFIG: tuple[tuple[str, str, str, str], ...] = (
    ("csv", ".csv .tsv", "", ""),
    ("desktop", ".desktop .service .timer .socket", "", ""),
    ("dotenv", ".env", ".env", ""),
    ("ignore", "", ".gitignore .dockerignore .npmignore .eslintignore .prettierignore .skepignore", ""),
    ("ini", ".ini .cfg .conf", ".editorconfig .gitconfig .gitmodules .gitattributes .npmrc .flake8", ""),
    ("lockfile", ".lock .lockb .sum", "yarn.lock", ""),
    ("nginx", ".nginx", "nginx.conf", ""),
    ("properties", ".properties", "", ""),
    ("requirements", "", "requirements.txt constraints.txt go.mod go.work procfile", ""),
    ("xml", ".xml .xsd .xsl .xslt .svg .plist .csproj .props .targets .resx", "", ""),
)

_DOCS: tuple[tuple[str, str, str, str], ...] = (
    ("asciidoc", ".adoc .asciidoc .asc", "", ""),
    ("latex", ".tex .sty .cls .bib", "", ""),
    ("org", ".org", "", ""),
    ("text", ".txt .text .log", "readme license licence notice authors changelog contributing copying", ""),
)

LANGUAGES: tuple[Language, ...] = (
    *(Language(n, "code", tuple(e.split()), tuple(f.split()), tuple(s.split())) for n, e, f, s in _CODE),
    *(Language(n, "config", tuple(e.split()), tuple(f.split()), tuple(s.split())) for n, e, f, s in _CONFIG),
    *(Language(n, "docs", tuple(e.split()), tuple(f.split()), tuple(s.split())) for n, e, f, s in _DOCS),
)
