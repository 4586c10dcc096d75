package run

import (
	"context"
	"fmt"
	"strings"

	"github.com/voidbox-run/voidbox/core/agentimage"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// imageOf names the image of a sandbox. One of packages is made, unless the cache has it, and held to what the lock file says.
func (r *Run) imageOf(ctx context.Context, s *plan.Sandbox, images *image.Cache, progress func(string)) (string, error) {
	if len(s.Packages) == 0 {
		return s.Image, nil
	}
	names := strings.Join(s.Packages, ",")
	pinned := r.cfg.Host.PinnedImage(names)
	if pinned != "" {
		if found, err := images.FindImage(pinned); err == nil && len(found.Names) > 0 {
			return found.Names[0], nil
		}
	}
	build := agentimage.Builder{Cache: images, Progress: progress}
	built, err := build.Build(ctx, agentimage.Packages(s.Packages...), false)
	if err != nil {
		return "", &MachineError{Err: fmt.Errorf("sandbox %s: packages: %w", s.Name, err)}
	}
	if pinned != "" && built.ID != pinned {
		return "", &ConfigError{Err: errdef.New(errdef.ErrState,
			"sandbox %s: packages %s: Debian has other versions now than voidbox.lock.hcl was written with: the image would be %s, and was %s", s.Name, names, built.ID, pinned).
			WithReason("packages_changed").WithRemedy("to take the new versions, remove the block packages %q from voidbox.lock.hcl", names)}
	}
	return built.Name, r.cfg.Host.RememberImage(names, built.ID)
}
