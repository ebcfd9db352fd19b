# make demo   set up, then from the two photos in data/demo to out/demo.obj with its texture and a preview
# make test   set up, then lint and the whole test suite (real photographs too where STEREO3D_DATA names their folder)
# make types  the type checker over the package
# make docs   the documentation site with the executed notebooks -> out/site/index.html
# make setup  set up only; make clean  take away what was made, but for .venv
# PYTHON=... chooses the interpreter (3.11 or newer) of a new .venv.

.PHONY: demo test types docs setup clean

demo:
	@./setup.sh
	.venv/bin/stereo3d data/demo/left.jpg data/demo/right.jpg -o out/demo.obj --preview out/demo.png

test:
	@./setup.sh test
	.venv/bin/ruff check
	.venv/bin/python -m pytest -n 2 --dist worksteal

types:
	@./setup.sh test
	.venv/bin/basedpyright --level error

docs:
	@./setup.sh test
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict

setup:
	@./setup.sh

clean:
	rm -rf out build *.egg-info .pytest_cache .hypothesis .ruff_cache
	find stereo3d tests -name __pycache__ -prune -exec rm -rf {} +
