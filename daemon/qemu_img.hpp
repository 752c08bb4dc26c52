// qemu-img on files that nobody vouches for: each run in a sandbox of its own, with the format named and
// every file that it may open.
#pragma once

#include "daemon/image_format.hpp"
#include "daemon/sandboxed_tool.hpp"
#include "lib/json.hpp"

#include <functional>

namespace capsul {

/// A file and what it is to be read as.
struct DiskFile {
    ImageFormat format;
    fs::path path;
    std::optional<fs::path> base{}; ///< a qcow2 that this one, a qcow2 too, is laid over
};

/// The first line that a program complained with, fit for a message: it may quote the hostile file.
[[nodiscard]] std::string complaint(const std::string& program, const ProcessResult& result);

class QemuImg {
  public:
    using OnPercent = std::function<void(int)>;

    /// Every call throws what SandboxedTool::run throws.
    explicit QemuImg(const SandboxedTool& tool, SandboxedTool::Cancelled cancelled = {})
        : tool_(tool), cancelled_(std::move(cancelled)) {}

    /// Its JSON on stdout when `status` is 0.
    [[nodiscard]] ProcessResult info(const DiskFile& disk) const;
    [[nodiscard]] ProcessResult check(const DiskFile& disk) const;
    /// How large convert makes a qcow2 of it, at most. Throws Error (verification) when it cannot be read.
    [[nodiscard]] std::uint64_t size_as_qcow2(const DiskFile& disk) const;
    /// Makes `target`, of which nothing is known but that it is not much larger than `virtual_size`, and
    /// which is there whatever happens. `options` are words of qemu-img convert(1), such as {"-c"}. Throws
    /// Error (no_space, internal).
    void convert(const DiskFile& source, const std::string& to_format,
                 const std::vector<std::string>& options, const fs::path& target, std::uint64_t virtual_size,
                 const OnPercent& on_percent) const;

    /// Has a qcow2 say that it is laid over `base`, which is not looked at. What else becomes of a hostile
    /// file is not known. Throws Error (no_space, internal).
    void set_base(const fs::path& file, const fs::path& base) const;

  private:
    [[nodiscard]] ProcessResult ask(const char* command, const DiskFile& disk,
                                    const std::vector<std::string>& options = {}) const;

    const SandboxedTool& tool_;
    const SandboxedTool::Cancelled cancelled_;
};

/// What a program tells of its progress, "    (12.50/100%)" over and over.
[[nodiscard]] std::optional<int> last_percent(std::string_view text);

/// Throws Error (no_space) for `work` when the program says that the disk of `folder` is full.
void refuse_full_disk(const std::string& work, const ProcessResult& result, const fs::path& folder);

} // namespace capsul
