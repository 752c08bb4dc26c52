#include "daemon/fetch/small_file.hpp"

#include "daemon/fetch/retries.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <fmt/format.h>
#include <optional>
#include <system_error>
#include <thread>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

/// More than the signatures of many people.
constexpr Bytes most_signature_bytes(std::uint64_t{1} << 20U);

fs::path remote_path(const fs::path& file) {
    return file.string() + ".json";
}

/// What was fetched last from `url`; nothing where it is not whole, since all can be asked again.
std::optional<SmallFile> read_kept(const Url& url, const fs::path& file, Bytes most) {
    try {
        SmallFile kept;
        kept.remote = parse<RemoteFile>(read_file(remote_path(file), most_fetch_bytes));
        kept.content = read_file(file, most.count());
        const bool is_it = kept.remote.url == url && kept.remote.length == kept.content.size();
        return is_it ? std::optional(std::move(kept)) : std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

void keep(const SmallFile& file, const fs::path& path) {
    std::error_code gone;
    fs::remove(remote_path(path), gone); // never beside the content of another
    replace_file(path, file.content);
    replace_file(remote_path(path), dump_json(encode(file.remote), 1) + "\n");
}

/// One try.
class SmallTransfer {
  public:
    SmallTransfer(const Url& url, const std::optional<SmallFile>& kept, Bytes most)
        : url_(url), kept_(kept), most_(most) {}

    SmallFile run(const TransferLimits& limits) {
        Get get;
        get.url = url_;
        if (kept_) {
            get.if_none_match = kept_->remote.etag;
            get.if_modified_since = kept_->remote.last_modified;
        }
        transfer(get, limits,
                 {.begin = [this](const Head& head) { begin(head); },
                  .data = [this](std::string_view data) { take(data); }});
        if (!got_.unchanged) {
            got_.remote.length = got_.content.size();
            got_.remote.complete = true;
        }
        return std::move(got_);
    }

  private:
    void begin(const Head& head) {
        if (head.status == 304 && kept_) {
            got_ = *kept_;
            got_.fetched = 0;
            got_.unchanged = true;
        } else if (head.status == 200) {
            got_.remote = remote_file(url_, head);
            check(head.length.value_or(0));
        } else {
            throw Error(ErrorCode::unreachable, fmt::format("{}: the server answers with status {}, unasked",
                                                            shown(head.url), head.status));
        }
    }
    void take(std::string_view data) {
        if (got_.unchanged) {
            return; // an answer that says so has no content, or should have none
        }
        check(got_.content.size() + data.size());
        got_.content += data;
        got_.fetched += data.size();
    }
    void check(std::uint64_t size) const {
        if (size > most_.count()) {
            throw Error(ErrorCode::too_large,
                        fmt::format("{}: is longer than the {} that are taken of it", shown(url_),
                                    human_size(most_.count())),
                        "is the URL right?");
        }
    }

    const Url& url_;
    const std::optional<SmallFile>& kept_;
    Bytes most_;
    SmallFile got_;
};

} // namespace

SmallFile fetch_small(const Url& url, const fs::path& file, Bytes most, const SmallFetch& how) {
    const std::optional<SmallFile> kept = read_kept(url, file, most);
    Retries retries(how.patience);
    for (;;) {
        try {
            SmallFile got = SmallTransfer(url, kept, most).run(how.limits);
            if (!got.unchanged) {
                keep(got, file);
            }
            return got;
        } catch (const PassingError& error) {
            const auto wait = retries.wait_after(error, false);
            how.progress.tell_wait(error.what(), 0, std::nullopt, retries.attempt());
            std::this_thread::sleep_for(wait);
        }
    }
}

std::uint64_t fetch_signature(const Url& url, const fs::path& file, const SmallFetch& how) {
    try {
        return fetch_small(url, file, most_signature_bytes, how).fetched;
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) {
            throw;
        }
        throw Error(ErrorCode::verification, fmt::format("there is no signature: {}", error.what()),
                    "is the URL of the signature right?");
    }
}

void forget_small(const fs::path& file) {
    std::error_code gone;
    fs::remove(remote_path(file), gone);
    fs::remove(file, gone);
}

} // namespace capsul::fetch
