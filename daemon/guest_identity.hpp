// How a machine that was copied from another becomes one of its own. Pure.
#pragma once

#include <string>
#include <string_view>

namespace capsul {

/// The script that its cloud-init runs in each boot; it does its work in the first one of each instance.
[[nodiscard]] std::string_view identity_script();

/// Whether these vendor-data do that.
[[nodiscard]] bool has_new_identity(std::string_view vendor_data);

/// Vendor-data (a MIME message) that has cloud-init run it, and then do what `others`, vendor-data too, says.
/// What has it already stays as it is.
[[nodiscard]] std::string with_new_identity(const std::string& others);

} // namespace capsul
