#!/usr/bin/env bash
# Prints a Python that can run the project, or says in one line on stderr what is missing (exit status 2).
set -u
need="Linux x86_64 and Python 3.11, 3.12 or 3.13 with venv (LoadGen and awslambdaric have wheels for these)"
if [ "$(uname -s)-$(uname -m)" != "Linux-x86_64" ]; then
  echo "error: this is $(uname -s) $(uname -m); needed: $need" >&2
  exit 2
fi
found=""
for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
  path=$(command -v "$name" 2>/dev/null) || continue
  version=$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  found="$found $name=$version"
  case $version in 3.11 | 3.12 | 3.13) ;; *) continue ;; esac
  if "$path" -c 'import venv, ensurepip' 2>/dev/null; then
    # The interpreter itself, not a launcher that depends on the folder it is called from.
    "$path" -c 'import sys; print(sys.executable)'
    exit 0
  fi
  found="$found(without venv: apt-get install python$version-venv)"
done
echo "error: no fitting Python; found:${found:- none}; needed: $need" >&2
exit 2
