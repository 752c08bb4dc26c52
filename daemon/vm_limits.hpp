// What a VM may be given of this host.
#pragma once

#include "lib/size.hpp"

namespace capsul {

/// Throws Error (invalid) for memory that no VM can have, or that this host does not have.
void check_memory(Bytes memory);

/// Throws Error (invalid) unless a disk can have this size; `what` begins the message.
void check_disk_size(const char* what, Bytes size, Bytes most);

} // namespace capsul
