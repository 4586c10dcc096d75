package remote

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Source says where a skill lies.
type Source struct {
	URL    string // http or https
	Git    bool   // URL is a repository, else an archive
	Ref    string // of a repository: branch, tag or full commit ID
	Subdir string // directory of the skill within; empty means the top
	Hash   string // "h1:..." of the skill's files; empty means that nobody has said
}

const gitPrefix = "git::"

// suffixes are the archives that can be unpacked.
var suffixes = []string{".tar.gz", ".tgz", ".tar", ".zip"}

// refSyntax keeps a ref from being an option, a refspec or an expression for Git.
var refSyntax = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+-]{0,254}$`)

// Parse reads a source as a plan has it: git::https://host/repository.git//directory, or https://host/archive.tar.gz//directory.
func Parse(source, ref, hash string) (Source, error) {
	s := Source{Ref: ref, Hash: hash}
	address, isGit := strings.CutPrefix(source, gitPrefix)
	s.Git = isGit
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return Source{}, errdef.New(errdef.ErrInvalid, "%.200q is no address of a skill", source).
			WithRemedy("write git::https://host/repository.git//directory or https://host/archive.tar.gz//directory")
	}
	if u.User != nil {
		return Source{}, errdef.New(errdef.ErrInvalid, "the address holds a user name or a password, which anyone who reads the plan would see").
			WithRemedy("leave out what stands before the @ of the address")
	}
	if err := s.split(u); err != nil {
		return Source{}, err
	}
	return s, s.check()
}

// split takes the directory behind the double slash from the address.
func (s *Source) split(u *url.URL) error {
	at := strings.Index(u.Path, "//")
	if at >= 0 {
		s.Subdir = path.Clean(strings.Trim(u.Path[at:], "/"))
		u.Path, u.RawPath = u.Path[:at], ""
		if s.Subdir != "." && !safeName(s.Subdir) {
			return errdef.New(errdef.ErrInvalid, "the directory %.200q leads out of what is fetched", s.Subdir)
		}
		if s.Subdir == "." {
			s.Subdir = ""
		}
	}
	u.Fragment = ""
	s.URL = u.String()
	if !s.Git && s.suffix() == "" {
		return errdef.New(errdef.ErrInvalid, "%.200q is neither a Git repository nor an archive", s.URL).
			WithRemedy("begin the address with %s for a repository; archives end in %s", gitPrefix, strings.Join(suffixes, ", "))
	}
	return nil
}

func (s *Source) check() error {
	switch {
	case s.Git && s.Ref == "":
		return errdef.New(errdef.ErrInvalid, "a Git repository needs a ref").WithRemedy(`add ref = "..." with a tag or a full commit ID`)
	case s.Git && (!refSyntax.MatchString(s.Ref) || strings.Contains(s.Ref, "..")):
		return errdef.New(errdef.ErrInvalid, "%.200q is no branch, tag or commit ID", s.Ref)
	case !s.Git && s.Ref != "":
		return errdef.New(errdef.ErrInvalid, "an archive has no ref").WithRemedy("leave out ref, or begin the address with %s", gitPrefix)
	case s.Hash != "" && s.key() == "":
		return errdef.New(errdef.ErrInvalid, "%.200q is no hash", s.Hash).
			WithRemedy(`leave it out and run: the message then says which hash, "h1:" and 44 characters, the skill has`)
	}
	return nil
}

// suffix is the archive's kind.
func (s *Source) suffix() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	for _, suffix := range suffixes {
		if strings.HasSuffix(strings.ToLower(u.Path), suffix) {
			return suffix
		}
	}
	return ""
}

// key names the cache entry of the hash; it is empty where the hash is none.
func (s *Source) key() string {
	text, ok := strings.CutPrefix(s.Hash, "h1:")
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(sum) != 32 {
		return ""
	}
	return hex.EncodeToString(sum)
}
