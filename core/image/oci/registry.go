package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// registry is one repository of a registry (distribution-spec, "Pull").
type registry struct {
	ref    name.Reference
	client *http.Client
	opt    Options
	meter  *meter
}

func openRegistry(ctx context.Context, text string, opt Options) (*Image, error) {
	ref, err := name.ParseReference(text)
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "%q is not the name of an image: %w", text, err)
	}
	opt.progress("asking %s for %s", ref.Context().RegistryStr(), ref.Context().RepositoryStr())
	r := &registry{ref: ref, opt: opt, meter: &meter{opt: opt, name: ref.String()}}
	if err := r.connect(ctx); err != nil {
		return nil, r.explain(err)
	}
	digest := ""
	if d, ok := ref.(name.Digest); ok {
		digest = d.DigestStr()
	}
	img, err := load(ctx, r, digest)
	if err != nil {
		return nil, r.explain(err)
	}
	return img, nil
}

// connect finds out how the registry wants to be spoken to.
func (r *registry) connect(ctx context.Context) error {
	auth, err := authn.Resolve(ctx, keychain, r.ref.Context())
	if err != nil {
		return fmt.Errorf("find the credentials: %w", err)
	}
	base := &patient{inner: baseTransport(), opt: r.opt, host: r.ref.Context().RegistryStr()}
	t, err := transport.NewWithContext(ctx, r.ref.Context().Registry, auth, base, []string{r.ref.Scope(transport.PullScope)})
	if err != nil {
		return err
	}
	r.client = &http.Client{Transport: t}
	return nil
}

// keychain asks $DOCKER_AUTH_CONFIG first, then the files that Docker and Podman keep.
var keychain = authn.NewMultiKeychain(environment{}, authn.DefaultKeychain)

// environment finds credentials in a variable that holds a Docker configuration.
type environment struct{}

func (environment) Resolve(target authn.Resource) (authn.Authenticator, error) {
	text := os.Getenv("DOCKER_AUTH_CONFIG")
	if text == "" {
		return authn.Anonymous, nil
	}
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return nil, errors.New("the environment variable DOCKER_AUTH_CONFIG is not a Docker configuration") // which would be shown
	}
	keys := []string{target.String(), target.RegistryStr()}
	if target.RegistryStr() == name.DefaultRegistry {
		keys = append(keys, authn.DefaultAuthKey, "docker.io")
	}
	for _, key := range keys {
		if found, ok := config.Auths[key]; ok {
			return authn.FromConfig(found), nil
		}
	}
	return authn.Anonymous, nil
}

// accepted are the types of manifest that are asked for.
var accepted = strings.Join([]string{
	string(types.OCIImageIndex), string(types.DockerManifestList), string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
}, ", ")

func (r *registry) url(kind, id string) string {
	c := r.ref.Context()
	return fmt.Sprintf("%s://%s/v2/%s/%s/%s", c.Scheme(), c.RegistryStr(), c.RepositoryStr(), kind, id)
}

// get asks for something from offset on. The answer may begin at 0 all the same; its status tells.
func (r *registry) get(ctx context.Context, url string, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // what is packed must arrive as it is
	if strings.Contains(url, "/manifests/") {
		req.Header.Set("Accept", accepted)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

func (r *registry) manifest(ctx context.Context, digest string) ([]byte, error) {
	id := digest
	if id == "" {
		id = r.ref.Identifier()
	}
	resp, err := r.get(ctx, r.url("manifests", id), 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return readAtMost(resp.Body, maxManifest)
}

func (r *registry) config(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	resp, err := r.get(ctx, r.url("blobs", d.Digest.String()), 0)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// layer downloads a layer unless it is there.
func (r *registry) layer(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	file, err := r.opt.Blobs.fetch(ctx, d.Digest.String(), d.Size, r.opt, r.meter, func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		url := r.url("blobs", d.Digest.String())
		resp, err := r.get(ctx, url, offset)
		var answer *transport.Error
		if errors.As(err, &answer) && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			resp, err = r.get(ctx, url, 0) // a registry without ranges
		}
		if err != nil {
			return nil, 0, err
		}
		if resp.StatusCode != http.StatusPartialContent {
			offset = 0
		}
		return resp.Body, offset, nil
	})
	if err != nil {
		return nil, r.explain(err)
	}
	return file, nil
}

// explain puts what a registry says into words, with what to do next.
func (r *registry) explain(err error) error {
	var known *errdef.Error
	var answer *transport.Error
	host := r.ref.Context().RegistryStr()
	switch {
	case errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &answer):
		return errdef.New(errdef.ErrUnavailable, "registry %s: %w", host, err).WithReason("registry_unreachable").
			WithRemedy("check the connection and the registry's name, and run it again: what has arrived is kept")
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return errdef.New(errdef.ErrUnauthenticated, "registry %s refuses %s: %w", host, r.ref, err).WithReason("registry_refuses").
			WithRemedy("check the image's name, for registries say this of images that do not exist, too; then log in with: docker login %s (or set DOCKER_AUTH_CONFIG)", host)
	case http.StatusNotFound:
		return errdef.New(errdef.ErrNotFound, "registry %s has no %s", host, r.ref).WithReason("image_not_found").
			WithRemedy("check the image's name, its tag or its digest")
	case http.StatusTooManyRequests:
		return errdef.New(errdef.ErrUnavailable, "registry %s has had enough requests for now: %w", host, err).WithReason("registry_limits").
			WithRemedy("wait some minutes and run it again, or log in, which mostly raises the limit: docker login %s", host)
	}
	return errdef.New(errdef.ErrUnavailable, "registry %s: %w", host, err).WithReason("registry_failed").
		WithRemedy("run it again: what has arrived is kept")
}
