// Package source reads the names of images: what a file says in image = "...", and what a command takes.
//
//	base                                  the built-in system
//	docker.io/library/node:22-slim        an image in a registry, by tag
//	ghcr.io/owner/name@sha256:...         the same, by digest
//	oci:./layout  oci:./layout:TAG        a directory in the OCI image layout, its only image or one of several
//	docker-archive:./image.tar            what `docker save` writes
//	dir:./rootfs                          a directory that is a root file system
//	disk:./disk.img                       a raw disk with ext4 or EROFS on it
//	./anything                            one of the last four, whichever it looks like
//
// A name without a slash, a tag or a digest, such as "debian", is refused: it is more often a misspelt "base" than an image, and
// whose "debian" it would be is for the user to say.
package source
