// Package oci reads images where they are kept: in registries, in OCI image layouts, in archives of `docker save`. It is the only
// user of go-containerregistry beside package source.
//
// [Open] finds the one image that fits the guest's platform and returns what it says of itself: its configuration and its layers,
// in order, each with the digest of what is in it. Whatever arrives is held to the digest that announced it before anybody sees it,
// down from the one that the user named, or that the registry gave for a tag.
//
// # Downloads
//
// A layer of a registry becomes a file in a [Blobs] directory. One that broke off is resumed where it stopped, in this call or by
// another process days later, since its name is its digest; it gets that name only once it has that digest. A registry that asks
// for patience (429), or fails in passing, is asked again, with growing pauses; one that says no is believed.
//
// Credentials come from the Docker configuration ($DOCKER_CONFIG, credential helpers included), from Podman's, or from
// $DOCKER_AUTH_CONFIG, which holds a configuration itself, as CI systems set it.
package oci
