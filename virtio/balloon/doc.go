// Package balloon is the traditional memory balloon (Virtio 1.2 section 5.5): the ways in which a guest gives memory back to its
// host.
//
//   - Inflating: the host sets a target (SetTarget), the driver takes pages from its own memory and names them on inflateq.
//     With VIRTIO_BALLOON_F_DEFLATE_ON_OOM it takes them back by itself rather than run out.
//   - Free page reporting: unasked, the driver names ranges that it has free. They are its own again as soon as the request is
//     answered, so that a VM which was busy once does not stay large.
//   - Statistics: what the guest thinks of its memory, on demand (Stats).
//
// Either way the pages go to [Discarder], and read as zeros when the guest touches them again. What a guest names is hostile: only
// whole pages that lie in its memory are discarded, one request names a bounded number of them, and a guest that names its own
// kernel has itself to blame. Deflating needs nothing from the host.
package balloon
