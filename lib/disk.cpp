#include "lib/disk.hpp"

#include "lib/error.hpp"

#include <fmt/format.h>
#include <limits>

namespace capsul {

DiskName DiskName::parse(std::string_view text) {
    constexpr std::size_t longest = 20;
    DiskName disk;
    disk.name_ = Name::parse(text);
    if (text == root_disk) {
        throw Error(ErrorCode::invalid, "'root' is the disk that the VM boots from",
                    "choose another name; `capsulctl vm resize --disk` makes that one larger");
    }
    if (text.size() > longest) {
        throw Error(ErrorCode::invalid,
                    fmt::format("'{}' is too long for a disk: {} characters at most", text, longest),
                    "the guest sees the name as the disk's serial number, which holds no more");
    }
    return disk;
}

NewSize NewSize::parse(std::string_view text) {
    NewSize size;
    size.is_added_ = text.starts_with('+');
    size.amount_ = Bytes::parse(size.is_added_ ? text.substr(1) : text);
    return size;
}

std::string NewSize::to_string() const {
    return (is_added_ ? "+" : "") + amount_.to_string();
}

Bytes NewSize::from(Bytes present) const {
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!is_added_) {
        return amount_;
    }
    if (present.count() > largest - amount_.count()) {
        throw Error(ErrorCode::invalid,
                    fmt::format("{} more than {} is too large", amount_.to_string(), present.to_string()));
    }
    return Bytes(present.count() + amount_.count());
}

} // namespace capsul
