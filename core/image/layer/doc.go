// Package layer makes one tree of an image's layers.
//
// A layer is a tar archive of what it adds, and of names that mark what it takes away. [Read] turns one archive into a [Layer]:
// a list of changes, with the content of files already in the image. Layers can be read side by side. [Tree.Apply] then applies
// them in order, in memory.
//
// Names never touch the host's file system, so there is nothing that a hostile one could escape from. What a name means is
// decided in the tree alone: it begins at the root whether or not it has a slash in front, symbolic links on the way are
// followed inside the tree, and ".." is refused, as no tool that makes layers writes it.
//
// What takes away (OCI image-spec, layer.md, "Whiteouts"): ".wh.NAME" removes NAME of lower layers, ".wh..wh..opq" removes all
// that lower layers have in its directory. Both go for lower layers only, wherever in the archive they stand.
//
// A layer's author decides what is in it, so that everything is bounded: [Budget].
package layer
