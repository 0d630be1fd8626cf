# What the crash matrix needs: msb, and a host program, with failpoints in them.

MATRIX := build/test/msb-failpoint build/test/matrix-owner

.PHONY: matrix
matrix: $(MATRIX) ## build what tests/matrix needs

build/test/msb-failpoint: $(MSB_SOURCES) $(GUEST)/launcher_amd64 $(AGENT)/agent_amd64
	@mkdir -p $(@D)
	CGO_ENABLED=0 nice $(GO) build -tags failpoint -trimpath -ldflags "-s -w" -o $@ ./cmd/msb

build/test/matrix-owner: $(MSB_SOURCES) tests/matrix/owner/main.go
	@mkdir -p $(@D)
	CGO_ENABLED=0 nice $(GO) build -tags failpoint -trimpath -o $@ ./tests/matrix/owner
