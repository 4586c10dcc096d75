package sshagent

import (
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// ring holds the keys of a sandbox. It does not change once it is made.
type ring struct {
	keys  []heldKey
	known []hostKey // every key of every known host, for reports
}

// heldKey is a deploy key.
type heldKey struct {
	name   string
	signer ssh.Signer
	blob   []byte    // its public half, in the wire's format
	hosts  []hostKey // by which it is bound; empty means that it is not
}

// newRing reads the keys of a configuration.
func newRing(cfg Config) (*ring, error) {
	r := &ring{known: cfg.KnownHosts.keys()}
	for _, k := range cfg.Keys {
		signer, err := ReadKey(k.Path)
		if err != nil {
			return nil, fmt.Errorf("deploy key %s: %w", k.Name, err)
		}
		held := heldKey{name: k.Name, signer: signer, blob: signer.PublicKey().Marshal()}
		for _, host := range k.Hosts {
			if err := cfg.KnownHosts.CheckHost(host); err != nil {
				return nil, fmt.Errorf("deploy key %s: %w", k.Name, err)
			}
			for _, known := range r.known {
				if known.host == normal(host) {
					held.hosts = append(held.hosts, known)
				}
			}
		}
		r.keys = append(r.keys, held)
	}
	return r, nil
}

// find returns the key with a public half, or nil.
func (r *ring) find(blob []byte) *heldKey {
	for i := range r.keys {
		if string(r.keys[i].blob) == string(blob) {
			return &r.keys[i]
		}
	}
	return nil
}

// sign makes a signature over data. RSA keys sign with SHA-2 only: what SHA-1 signs can be signed by others as well.
func (k *heldKey) sign(data []byte, flags uint32) (*ssh.Signature, error) {
	if k.signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return k.signer.Sign(rand.Reader, data)
	}
	algorithm := ""
	switch {
	case flags&flagRSA512 != 0:
		algorithm = ssh.KeyAlgoRSASHA512
	case flags&flagRSA256 != 0:
		algorithm = ssh.KeyAlgoRSASHA256
	default:
		return nil, errors.New("the client wants a signature with SHA-1")
	}
	able, ok := k.signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("the key cannot sign with %s", algorithm)
	}
	return able.SignWithAlgorithm(rand.Reader, data, algorithm)
}
