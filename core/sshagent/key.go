package sshagent

import (
	"crypto/rsa"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

const (
	maxKeyFile = 64 << 10
	minRSABits = 2048 // what the forges take
)

// ReadKey reads a private key. Its errors say what is wrong with the file, and what to do.
func ReadKey(path string) (ssh.Signer, error) {
	pem, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(pem)
	signer, err := ssh.ParsePrivateKey(pem)
	var encrypted *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &encrypted):
		return nil, errdef.New(errdef.ErrInvalid, "the key %s is encrypted, and nobody is there to be asked for its passphrase", path).
			WithRemedy("add it to your own agent (ssh-add %s) and lend that: ssh_agent = true", path)
	case err != nil && isPublic(pem):
		return nil, errdef.New(errdef.ErrInvalid, "%s is a public key", path).WithRemedy("name the private one, without .pub")
	case err != nil:
		return nil, errdef.New(errdef.ErrInvalid, "%s is not a private key that can be used: %w", path, err).
			WithRemedy("make one with: ssh-keygen -t ed25519 -N '' -f FILE; a key on a security token works with ssh_agent = true")
	}
	return signer, checkKind(path, signer.PublicKey())
}

// checkKind refuses keys that no host of today takes.
func checkKind(path string, key ssh.PublicKey) error {
	weak := errdef.New(errdef.ErrInvalid, "the key %s is of the kind %s, which is not supported", path, key.Type()).
		WithRemedy("make another with: ssh-keygen -t ed25519 -N '' -f FILE")
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		public, ok := key.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey)
		if ok && public.N.BitLen() >= minRSABits {
			return nil
		}
	}
	return weak
}

// readPrivate reads a file that only its owner may read, as ssh demands it too.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdef.New(errdef.ErrNotFound, "there is no key %s", path).WithRemedy("make one with: ssh-keygen -t ed25519 -N '' -f %s", path)
	}
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "the key cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errdef.New(errdef.ErrInvalid, "%s is not a file", path).WithRemedy("name the file of a private key")
	case info.Mode().Perm()&0o077 != 0:
		return nil, errdef.New(errdef.ErrInvalid, "the key %s can be read or written by others (mode %04o)", path, info.Mode().Perm()).
			WithRemedy("chmod 600 %s", path)
	case info.Size() > maxKeyFile:
		return nil, errdef.New(errdef.ErrInvalid, "%s has %d bytes, which no private key has", path, info.Size())
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

func isPublic(text []byte) bool {
	_, _, _, _, err := ssh.ParseAuthorizedKey(text)
	return err == nil
}
