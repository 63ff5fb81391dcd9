# Targets that take long, of which `make test` runs a brief form (tests/e2e/test_others.py); included by the Makefile.
SOAK_SECONDS ?= 1800

soak: all ## stress-ng's stressors under every kind, for SOAK_SECONDS (1800)
	tests/soak/run $(SOAK_SECONDS)
suites: all ## test suites that others wrote (perl, python3, git, Tcl, PostgreSQL, openssl, nginx), without and with every kind; some from their sources
	tests/suites/run

.PHONY: soak suites
