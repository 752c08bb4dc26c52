#include "daemon/fetch/disk.hpp"

#include "daemon/fetch/download.hpp"
#include "daemon/fetch/retries.hpp"
#include "daemon/fetch/signature.hpp"
#include "daemon/fetch/small_file.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <string>
#include <system_error>
#include <unistd.h>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

void remove_quietly(const fs::path& file) {
    std::error_code gone;
    fs::remove(file, gone);
}

/// The steps from a request to a disk.
class DiskFetch {
  public:
    DiskFetch(const fs::path& folder, const DiskRequest& request)
        : folder_(folder), request_(request), progress_(folder), part_(folder, request.url, progress_),
          download_(request, part_, progress_) {}

    FetchedFile run() {
        try {
            get_verified();
            rename_to_disk();
            return std::move(file_);
        } catch (const Error& error) {
            if (is_about_content(error.code()) && is_at_fault()) {
                part_.discard();
                forget_small(signature());
            }
            throw;
        }
    }

  private:
    [[nodiscard]] fs::path signature() const { return folder_ / "data.sig"; }
    [[nodiscard]] fs::path disk() const { return folder_ / fetched_disk_file; }

    /// Whether another try would find the same.
    static bool is_about_content(ErrorCode code) {
        return code == ErrorCode::verification || code == ErrorCode::too_large || code == ErrorCode::invalid;
    }

    /// Whether what is here may be why: not when somebody else answered, such as the login page of a network.
    [[nodiscard]] bool is_at_fault() const {
        return part_.is_complete() || part_.size() == 0 || download_.accepted();
    }

    void get_verified() {
        const bool was_left = part_.was_left();
        try {
            get_once();
        } catch (const Error& error) {
            if (!was_left || error.code() != ErrorCode::verification || !part_.is_complete()) {
                throw;
            }
            // What an earlier run has left may be at fault, and the server not.
            part_.begin_again(unknown_file(request_.url));
            forget_small(signature());
            get_once();
        }
    }

    void get_once() {
        download_.run();
        check_content();
        check_signature();
    }

    void check_content() {
        if (begins_like_web_page(read_start())) {
            throw Error(ErrorCode::verification,
                        fmt::format("{}: is a web page and no disk", shown(request_.url)),
                        "open it in a browser: is it a page about the file, or one where to log in first?");
        }
        FileHash hash = part_.take_hash();
        file_.sha256 = hash.sha256.finish();
        file_.sha512 = hash.sha512.finish();
        check_digest("sha256", request_.sha256, file_.sha256);
        check_digest("sha512", request_.sha512, file_.sha512);
        const RemoteFile& remote = part_.remote();
        file_.url = remote.location.to_string();
        file_.size = part_.size();
        file_.etag = remote.etag;
        file_.last_modified = remote.modified;
        file_.fetched = download_.fetched();
        file_.verified = request_.sha256 || request_.sha512 ? Verification::checksum : Verification::none;
    }

    [[nodiscard]] std::string read_start() const {
        const UniqueFd fd = open_file(part_.path(), O_RDONLY);
        std::string start(web_page_bytes, '\0');
        const ssize_t got = ::pread(fd.get(), start.data(), start.size(), 0);
        if (got < 0) {
            throw_errno(errno, part_.path().string());
        }
        start.resize(static_cast<std::size_t>(got));
        return start;
    }

    template <class Digest>
    void check_digest(const char* kind, const std::optional<Digest>& wanted, const std::string& found) const {
        if (wanted && wanted->to_string() != found) {
            throw Error(ErrorCode::verification,
                        fmt::format("{}: its {} is {}, not {}", shown(request_.url), kind, found,
                                    wanted->to_string()),
                        "it was damaged or changed, or the checksum is of another version of it");
        }
    }

    void check_signature() {
        if (!request_.signature) {
            return;
        }
        progress_.tell(FetchPhase::verifying, 0, file_.size);
        (void)fetch_signature(
            request_.signature->url, signature(),
            {transfer_limits(request_.proxy, request_.patience), request_.patience, progress_});
        file_.signer = Keyring(request_.signature->keyring.path(), folder_)
                           .check_detached(signature(), part_.path(), shown(request_.url));
        file_.verified = Verification::signature;
    }

    void rename_to_disk() const {
        fs::rename(part_.path(), disk());
        sync_folder(folder_);
    }

    const fs::path& folder_;
    const DiskRequest& request_;
    Progress progress_;
    PartFile part_;
    Download download_;
    FetchedFile file_;
};

/// Of a run whose disk was not used, or that ended before it could tell of it. A disk with another name is
/// that of an image, which VMs may run on: it stays as it is, and is no longer ours.
void take_back_disk(const fs::path& folder) {
    const fs::path part = folder / "data.part";
    const fs::path disk = folder / fetched_disk_file;
    if (fs::exists(disk) && fs::hard_link_count(disk) == 1 && !fs::exists(part)) {
        fs::permissions(disk, fs::perms::owner_read | fs::perms::owner_write);
        fs::rename(disk, part);
    }
    remove_quietly(disk);
}

void check_request(const DiskRequest& request) {
    check_patience(request.patience);
    if (request.max_size.count() == 0) {
        throw Error(ErrorCode::invalid, "max_size: is zero");
    }
}

} // namespace

FetchedFile fetch_disk(const fs::path& folder, const DiskRequest& request) {
    check_request(request);
    take_back_disk(folder);
    return DiskFetch(folder, request).run();
}

} // namespace capsul::fetch
