# make demo   set up; then reconstruct the two photos of data/demo: out/demo.obj with its texture, and a preview picture
# make test   set up; then style, types and the whole test suite (with real photographs if STEREO3D_DATA names their folder)
#             EXAMPLES=20: 20 times the examples of the property tests, drawn anew each time
# make types  set up; then the type checker alone
# make docs   set up; then the documentation site with the executed notebooks: out/site/index.html
# make package  set up; then wheel and source archive in out/dist, tried outside the repository with every Python there is
# make sbom   set up; then the software bill of materials of .venv, CycloneDX 1.5: out/sbom.json
# make setup  set up only: Python packages in .venv, missing system libraries by apt
# make fuzz   mutated files for every reader, MINUTES=60 in all; files that break one are kept in out/fuzz
# make clean  remove everything that was generated, except .venv
# PYTHON=...  the interpreter (3.11 or newer) for a new .venv

MINUTES ?= 60
EXAMPLES ?= 1

.PHONY: demo test types docs package sbom setup fuzz clean

demo:
	@./setup.sh
	.venv/bin/stereo3d data/demo/left.jpg data/demo/right.jpg -o out/demo.obj --preview out/demo.png

test:
	@./setup.sh test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright --level error
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 STEREO3D_EXAMPLES=$(EXAMPLES) .venv/bin/python -m pytest -n 3 --dist worksteal

types:
	@./setup.sh test
	.venv/bin/basedpyright --level error

docs:
	@./setup.sh test
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict
	@echo "docs: the site is out/site: open out/site/index.html"

package:
	@./setup.sh test
	.ci/package.sh --all

sbom:
	@./setup.sh
	.venv/bin/python sbom.py out/sbom.json

setup:
	@./setup.sh

fuzz:
	@./setup.sh test
	.venv/bin/python tests/fuzz/run.py --minutes $(MINUTES)

clean:
	rm -rf out build *.egg-info .pytest_cache .hypothesis .ruff_cache
	find stereo3d tests -name __pycache__ -prune -exec rm -rf {} +
