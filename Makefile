# firstlight.cluster: what a person runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup host-packages test-packages lab lab-down test-fast test-unit test-style test-sanity test-collection test-played test-lab test-roles test test-all test-scale bench docs mutation

PATH := $(CURDIR)/.venv/bin:$(PATH)
export PATH
VENV := .venv/.complete
PYTEST := .venv/bin/python -m pytest
MODULE_UTILS := collections/ansible_collections/firstlight/cluster/plugins/module_utils
PLUGIN_UTILS := collections/ansible_collections/firstlight/cluster/plugins/plugin_utils
# Scenarios that need the virtual machine wait for `make test-all`: it is emulated. So do tests that are marked as long.
EMULATED := $(shell grep -l vm_hosts.yml molecule/*/molecule.yml | cut -d/ -f2)
# What LAB_RELEASE names beside the default; the virtual machine is there for the default alone.
OTHER_RELEASE := $(filter-out debian-12,$(LAB_RELEASE))
ROLES := $(filter-out $(shell sed '/^\#/d; s/ .*//' molecule/without_scenario.txt) $(if $(OTHER_RELEASE),$(EMULATED)),\
	$(notdir $(wildcard roles/*)))
# Of these the bring-up of the lab shows too little: nodes in use, drivers that will not load, restarts. `make test-all` has the rest.
GATE_ROLES := gpu_driver reboot
LAB_INVENTORY := $(if $(OTHER_RELEASE),--inventory=.lab/$(or $(LAB_NAME),lab).inventory)
# One thing alone seldom keeps two processors busy: what can run side by side does, the longest first, and each line is told
# whole.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --jobs=2 --output-sync=line

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV): pyproject.toml lab/setup_venv.sh
	@lab/setup_venv.sh .venv

setup: $(VENV) ## .venv with everything that the project runs with

host-packages: $(VENV)
	@.venv/bin/python -m lab packages

test-packages: $(VENV)
	@.venv/bin/python -m lab packages tests/host_packages.txt

lab: host-packages ## a simulated site on this machine, brought up by site.yml; says where the report is
	@.venv/bin/python -m lab up
	@.venv/bin/ansible-playbook $(LAB_INVENTORY) site.yml

lab-down: $(VENV) ## nothing of the lab is left
	@.venv/bin/python -m lab down

test-fast: $(VENV) ## unit tests, types and linters (about three minutes)
	@$(SIDE_BY_SIDE) test-unit test-style

test-unit: $(VENV)
	@$(PYTEST) tests/unit -n 2 -m "not lab and not played and not long"

test-style: $(VENV)
	@ruff check .
	@ruff format --check .
	@yamllint --strict .
	@mypy $(MODULE_UTILS) $(PLUGIN_UTILS) lab
	@PYTHONPATH=.:collections lint-imports --no-logo
	@ANSIBLE_INVENTORY=inventories/example/hosts.yml ansible-lint --offline
	@antsibull-changelog lint

test-sanity: $(VENV) ## ansible-test sanity on what the collection ships (minutes the first time, then one)
	@$(PYTEST) tests/sanity

test-collection: $(VENV) ## the collection built, installed and used elsewhere, and its documentation
	@$(PYTEST) tests/collection -m "not lab"

test-played: $(VENV) ## whole playbooks played with stand-ins for machines; the report's page in a browser
	@$(PYTEST) tests/unit -n 2 -m "played and not long"
	@$(PYTEST) tests/page

# The packages are no prerequisite: make comes to a goal that waits for one after all others, and this is the longest.
test-lab: $(VENV) ## the lab from bring-up to re-admission
	@.venv/bin/python -m lab packages
	@$(PYTEST) tests/e2e -x -m "not long"
	@$(PYTEST) tests/unit -m "lab and not long"

test-roles: host-packages ## every role of a host in its molecule scenario, two at a time (about 20 minutes)
	@$(SIDE_BY_SIDE) $(ROLES:%=test-role-%)

test-role-%: $(VENV)
	@molecule/test_role.sh $* $(ROLE_TESTS)

test: test-packages test-fast ## the gate: all of these but what is long, two at a time after the fast ones (under an hour)
	@$(SIDE_BY_SIDE) ROLE_TESTS="'not long'" test-lab test-played test-sanity test-collection $(GATE_ROLES:%=test-role-%)

test-all: test mutation ## the gate, roles whole and on Debian 13, bring-ups with a MAAS that fails and by the installed collection, a million cases, mutation
	@$(SIDE_BY_SIDE) $(patsubst %,test-role-%,$(sort $(EMULATED) $(ROLES)))
	@LAB_RELEASE=debian-13 $(MAKE) --no-print-directory test-roles
	@$(PYTEST) tests/unit -n 2 -m long
	@$(PYTEST) tests/e2e -m long
	@$(PYTEST) tests/collection -m lab
	@$(MAKE) --no-print-directory test-scale

test-scale: $(VENV) ## a million cases for every parser and judge together, at random (half an hour to an hour)
	@HYPOTHESIS_PROFILE=scale $(PYTEST) tests/unit -n 2 -m "hypothesis and not lab and not played"

mutation: $(VENV) ## break one thing at a time: some test must notice (artifacts/mutation/*.txt)
	@.venv/bin/python -m tests.mutation

bench: host-packages ## every figure as a ratio measured in one run
	@PYTHONPATH=.:collections .venv/bin/python -m tests.bench

docs: $(VENV) ## the handbook and the reference as a site; says where (under a minute, no network)
	@.venv/bin/python docs/generate.py
