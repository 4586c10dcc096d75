# voidbox: everything goes through here. `make help` lists what there is.

GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/voidbox-run/voidbox/internal/version.version=$(VERSION)
PLUGINS := vmm-kvm vmm-qemu share-virtiofs network-slirp network-tap llm-claude llm-openai llm-ollama llm-replay sandbox-mock
AREAS   := boot block vsock link net share image run

# What the distribution must bring. Nothing else is fetched but Go modules and, into the cache, Debian's kernel and busybox.
PACKAGES_RUN   := qemu-system-x86
PACKAGES_TEST  := $(PACKAGES_RUN) qemu-utils mmdebstrap e2fsprogs erofs-utils git acpica-tools xz-utils openssh-client openssh-server openssl python3-grpcio python3-protobuf
PACKAGES_BENCH := nginx-light
PACKAGES_NET   := iproute2 iperf3 passt slirp4netns
PACKAGES_SHARE := $(PACKAGES_RUN) qemu-system-common
PACKAGES_BUILD := gcc make flex bison bc libelf-dev libssl-dev xz-utils

export CGO_ENABLED ?= 0
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-cli test-race test-kvm endure endure-net lab lab-kernel check lint bench kernel generate generate-check fuzz clean deps-run deps-test deps-bench deps-net deps-share $(addprefix bench-,$(AREAS))

help: ## list the targets
	@echo "make TARGET, where TARGET is one of:"
	@awk -F':.*## ' '/^[a-z%-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build voidbox, its plugins and the guest agent into bin/
	@mkdir -p $(BIN)
	$(GO) build -trimpath -tags grpcnotrace -ldflags '$(LDFLAGS)' -o $(BIN)/voidbox ./cmd/voidbox
	$(GO) build -trimpath -tags grpcnotrace -ldflags '$(LDFLAGS)' -o $(BIN)/voidbox-guest-agent ./guest/agent
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/claude-stand-in ./guest/claude-stand-in
	@for p in $(PLUGINS); do from=./plugins/$$(echo $$p | sed s/^network-/net-/); echo "$(GO) build -o $(BIN)/voidbox-$$p $$from"; \
	  $(GO) build -trimpath -tags grpcnotrace -ldflags '$(LDFLAGS)' -o $(BIN)/voidbox-$$p $$from || exit 1; done

demo: deps-run build ## run an agent in a real VM (installs QEMU, fetches a kernel, once)
	$(BIN)/voidbox run examples/hello.hcl

test: deps-test build ## run all tests, those in VMs included (installs what they need)
	VOIDBOX_REQUIRE_VM=$${VOIDBOX_REQUIRE_VM:-1} $(GO) test -timeout 30m ./...
	$(GO) -C tools vet ./...
	$(GO) -C examples/plugins/llm-echo vet ./... && $(GO) -C examples/plugins/skill-tickets vet ./...
	$(GO) -C test/modelpeers vet ./... && $(GO) -C test/modelpeers test ./...

test-cli: deps-test build ## run the real Claude Code in VMs, which it fetches (proprietary, 190 MB), and Codex at length
	VOIDBOX_TEST_CLI=1 VOIDBOX_REQUIRE_VM=1 $(GO) test -count=1 -v -timeout 60m ./test/cli
	VOIDBOX_TEST_CLI=1 VOIDBOX_REQUIRE_VM=1 $(GO) -C test/modelpeers test -count=1 -v -timeout 60m -run ClaudeCode ./...

test-race: build ## run the packages where goroutines meet with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./virtio/... ./link/... ./sdk/... ./core/agent/... ./core/pipeline/... ./core/pluginhost/... ./core/event/... ./plugins/share-virtiofs/...

# Tests that need KVM say so with lab.RequireKVM; those of the lab boot one.
test-kvm: deps-test ## run the tests that need KVM, in an emulated machine where this one has none (docs/lab.md)
	VOIDBOX_REQUIRE_VM=1 VOIDBOX_TEST_THOROUGH=1 $(GO) test -timeout 45m $$(grep -rlE --include='*_test.go' '\blab\.(Require|Boot)' . | xargs -n1 dirname | sort -u)

endure: deps-test build ## a hundred boots, twenty VMs at once and a soak of 15 minutes on KVM (in the lab if need be)
	test/endure/run.sh

endure-net: deps-net build ## a soak of the network plugin for 15 minutes, by a wire that is bad half of the time (root); goes on with soak-net.json
	$(GO) build -trimpath -o $(BIN)/endure ./test/endure
	$(BIN)/endure net -bin $(BIN) -state soak-net.json

lab: deps-test build ## a shell in an emulated machine with KVM, with bin/ and a guest kernel in it
	$(GO) run ./test/lab/cmd/lab run -t -mem 4G -guest -file $(BIN):/lab/bin -file examples -- sh

check: lint ## what must hold before a commit: lint and the quick tests
	$(GO) test -short -timeout 10m ./internal/importrules/... ./core/... ./sdk/... ./cmd/...

lint: generate-check ## gofmt, vet, staticcheck, import rules, generated code
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); test -z "$$unformatted" || { echo "not gofmt-clean:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$(GO) test ./internal/importrules/...
	GOOS=darwin $(GO) build -o /dev/null ./cmd/voidbox

generate: ## regenerate the code of the plugin contracts
	@CGO_ENABLED=0 $(GO) -C tools build -o $(CURDIR)/$(BIN)/protogen ./protogen
	$(BIN)/protogen -root api

generate-check: generate ## fail when generated code is not up to date
	@git diff --exit-code --stat -- api || { echo "api/ is not what the .proto files say: run make generate and commit"; exit 1; }

bench: $(addprefix bench-,boot block vsock link net share image run) ## measure all that there is, each beside a peer

bench-boot: deps-test build ## measure boot and memory, beside QEMU with the same kernel and initrd, on KVM (in the lab if need be) and without
	$(GO) run ./bench/boot
	bench/kvm/run.sh boot
	bench/kvm/run.sh boot-debian
	bench/kvm/run.sh memory
bench-vsock bench-block: deps-test build ## measure the vsock and block devices on KVM, beside vhost-vsock and QEMU
	bench/kvm/run.sh $(@:bench-%=%)
bench-run: deps-run deps-bench build ## measure plugin start, a mock run, a fan-out, the view, the way to a model beside nginx, exec and cp in a guest
	$(GO) run ./bench/run
bench-link: ## measure the shared-memory ring, beside a unix socket and memcpy
	$(GO) run ./bench/link
bench-net: deps-net ## measure the network beside pasta and slirp4netns, in network namespaces (root; installs the peers)
	$(GO) run ./bench/net/compare
bench-image: deps-test build ## measure how an image becomes a disk, beside mkfs.erofs, and a start from one
	$(GO) run ./bench/image
bench-share: deps-share build ## measure shared directories in a VM beside virtiofsd (root; installs it)
	$(GO) run ./bench/share

kernel: ## build the small guest kernel into the cache (7 min on 2 cores)
	guest/kernel/build.sh

lab-kernel: ## build the kernel of the emulated machine into the cache (7 min on 2 cores), which makes it boot sooner
	guest/kernel/build.sh lab

fuzz: ## run every fuzz target, each for FUZZTIME=60s
	@for d in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rhoE '^func Fuzz[A-Za-z0-9_]+' $$d/*_test.go | sed 's/func //'); do \
	    echo "== $$d $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-60s} $$d || exit 1; done; done

clean: ## remove what was built (the cache outside the tree stays)
	rm -rf $(BIN) bench/*.json bench/*.tmp

deps-run:
	@command -v qemu-system-x86_64 >/dev/null || $(call install,$(PACKAGES_RUN))

deps-test:
	@command -v qemu-system-x86_64 >/dev/null && command -v mmdebstrap >/dev/null && command -v mke2fs >/dev/null && command -v mkfs.erofs >/dev/null && command -v git >/dev/null && command -v iasl >/dev/null && command -v xz >/dev/null && command -v ssh-add >/dev/null && [ -x /usr/sbin/sshd ] && command -v openssl >/dev/null && /usr/bin/python3 -I -c "import grpc, google.protobuf" 2>/dev/null || $(call install,$(PACKAGES_TEST))

deps-bench:
	@test -x /usr/sbin/nginx || $(call install,$(PACKAGES_BENCH))

deps-net:
	@command -v iperf3 >/dev/null && command -v pasta >/dev/null && command -v slirp4netns >/dev/null && command -v ip >/dev/null || $(call install,$(PACKAGES_NET))

# The C virtiofsd, which Debian 12 has and later ones have not.
deps-share:
	@command -v qemu-system-x86_64 >/dev/null && [ -x /usr/lib/qemu/virtiofsd ] || $(call install,$(PACKAGES_SHARE))

define install
{ echo "installing from Debian: $(1)"; \
  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1); \
  else echo "please run: sudo apt-get install -y $(1)"; exit 1; fi; }
endef
