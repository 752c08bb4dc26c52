#include "daemon/fetch/transfer.hpp"

#include "daemon/fetch/local_file.hpp"
#include "daemon/fetch/retries.hpp"

#include <array>
#include <charconv>
#include <curl/curl.h>
#include <exception>
#include <fmt/format.h>
#include <memory>
#include <utility>

namespace capsul::fetch {
namespace {

constexpr int most_redirections = 10;
constexpr long connect_seconds = 20;
constexpr long slowest = 1024; ///< bytes a second; below, it stalls
constexpr long buffer_bytes = 256L * 1024;

struct FreeHandle {
    void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
struct FreeList {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using Handle = std::unique_ptr<CURL, FreeHandle>;
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

/// For the whole process, and before any of its threads gets something.
struct Library {
    Library() {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
            throw Error(ErrorCode::internal, "libcurl does not start");
        }
    }
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;
    ~Library() { curl_global_cleanup(); }
};

Handle make_handle() {
    static const Library library;
    Handle handle(curl_easy_init());
    if (!handle) {
        throw Error(ErrorCode::internal, "no memory for a transfer");
    }
    return handle;
}

template <class Value>
void set(CURL* handle, CURLoption option, Value value) {
    const CURLcode code = curl_easy_setopt(handle, option, value); // NOLINT(*-vararg): libcurl's way
    if (code != CURLE_OK) {
        throw Error(ErrorCode::invalid, fmt::format("libcurl takes no option {}: {}",
                                                    static_cast<int>(option), curl_easy_strerror(code)));
    }
}

template <class Value>
Value info(CURL* handle, CURLINFO which) {
    Value value{};
    curl_easy_getinfo(handle, which, &value); // NOLINT(*-vararg): libcurl's way
    return value;
}

std::string header(CURL* handle, const char* name) {
    curl_header* found = nullptr;
    const bool is_there = curl_easy_header(handle, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK;
    return is_there ? plain_header(found->value) : std::string();
}

void add_header(HeaderList& list, const char* name, const std::string& value) {
    if (value.empty()) {
        return;
    }
    curl_slist* const longer = curl_slist_append(list.get(), fmt::format("{}: {}", name, value).c_str());
    if (longer == nullptr) {
        throw Error(ErrorCode::internal, "no memory for a header");
    }
    (void)list.release(); // is the beginning of the longer one
    list.reset(longer);
}

void set_limits(CURL* handle, const TransferLimits& limits) {
    set(handle, CURLOPT_NOSIGNAL, 1L);
    set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    set(handle, CURLOPT_USERAGENT, "capsul/" CAPSUL_VERSION);
    set(handle, CURLOPT_FILETIME, 1L);
    set(handle, CURLOPT_BUFFERSIZE, buffer_bytes);
    set(handle, CURLOPT_CONNECTTIMEOUT, connect_seconds);
    set(handle, CURLOPT_LOW_SPEED_LIMIT, slowest);
    set(handle, CURLOPT_LOW_SPEED_TIME, limits.stall.count());
    set(handle, CURLOPT_TIMEOUT, limits.longest.count());
    if (limits.proxy) {
        set(handle, CURLOPT_PROXY, limits.proxy->c_str());
    }
}

HeaderList headers_of(const Get& get) {
    HeaderList list;
    add_header(list, "If-Range", get.from ? get.if_range : std::string());
    add_header(list, "If-None-Match", get.if_none_match);
    add_header(list, "If-Modified-Since", get.if_none_match.empty() ? get.if_modified_since : std::string());
    return list;
}

bool may_pass(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

[[noreturn]] void throw_transfer(CURLcode code, const char* words, const Url& url) {
    const std::string message =
        fmt::format("{}: {}", shown(url), *words == '\0' ? curl_easy_strerror(code) : words);
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        throw Error(
            ErrorCode::verification, message,
            "this host does not trust the server's certificate: is its clock right, is ca-certificates "
            "installed, and is no proxy in between?");
    }
    const ErrorCode kind = code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::timeout : ErrorCode::unreachable;
    if (may_pass(code)) {
        throw PassingError(kind, message, "is the network up, and is a proxy needed?");
    }
    throw Error(kind, message);
}

std::optional<std::chrono::seconds> seconds_of(const std::string& text) {
    int seconds = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    return error == std::errc() && seconds >= 0 ? std::optional(std::chrono::seconds(seconds)) : std::nullopt;
}

[[noreturn]] void throw_status(long status, const Url& url, const std::string& retry_after) {
    const std::string message = fmt::format("{}: the server answers with status {}", shown(url), status);
    switch (status) {
    case 404:
    case 410:
        throw Error(ErrorCode::not_found, message + ": there is no such file", "is the URL right?");
    case 401:
    case 403:
    case 407:
        throw Error(ErrorCode::denied, message, "it lets nobody have it who does not log in");
    case 408:
    case 425:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        throw PassingError(ErrorCode::unreachable, message, "try it later", seconds_of(retry_after));
    default:
        throw Error(ErrorCode::unreachable, message);
    }
}

bool is_answer(long status) {
    return status == 200 || status == 206 || status == 304 || status == 416;
}

bool has_content(long status) {
    return status == 200 || status == 206;
}

/// Of what comes with an error or a redirection. Nobody reads it; but libcurl tells where a redirection leads
/// at its end only.
constexpr std::size_t most_dropped = std::size_t{64} << 10U;

/// One question and its answer, which may be to ask elsewhere.
class Hop {
  public:
    Hop(CURL* handle, const Url& url, const OnAnswer& on) : handle_(handle), url_(url), on_(on) {
        set(handle, CURLOPT_URL, url.to_string().c_str());
        set(handle, CURLOPT_WRITEFUNCTION, &Hop::receive);
        set(handle, CURLOPT_WRITEDATA, static_cast<void*>(this));
        set(handle, CURLOPT_ERRORBUFFER, words_.data());
    }
    Hop(const Hop&) = delete;
    Hop& operator=(const Hop&) = delete;
    ~Hop() {
        curl_easy_setopt(handle_, CURLOPT_ERRORBUFFER, nullptr); // NOLINT(*-vararg): the handle outlives it
    }

    /// Where to ask instead.
    std::optional<Url> run() {
        const CURLcode code = curl_easy_perform(handle_);
        if (thrown_) {
            std::rethrow_exception(thrown_);
        }
        if (code != CURLE_OK && !has_enough_) {
            throw_transfer(code, words_.data(), url_);
        }
        if (is_answer(status())) {
            begin(); // of an answer without content
            return std::nullopt;
        }
        if (const char* const location = info<char*>(handle_, CURLINFO_REDIRECT_URL)) {
            return redirection(url_, location);
        }
        throw_status(status(), url_, header(handle_, "Retry-After"));
    }

  private:
    [[nodiscard]] long status() const { return info<long>(handle_, CURLINFO_RESPONSE_CODE); }

    void begin() {
        if (std::exchange(has_begun_, true)) {
            return;
        }
        Head head;
        head.status = static_cast<int>(status());
        head.url = url_;
        head.etag = header(handle_, "ETag");
        head.last_modified = header(handle_, "Last-Modified");
        head.content_type = header(handle_, "Content-Type");
        head.content_range = header(handle_, "Content-Range");
        if (const auto time = info<curl_off_t>(handle_, CURLINFO_FILETIME_T); time > 0) {
            head.modified = Timestamp(std::chrono::sys_seconds(std::chrono::seconds(time)));
        }
        if (const auto length = info<curl_off_t>(handle_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T); length >= 0) {
            head.length = static_cast<std::uint64_t>(length);
        }
        on_.begin(head);
    }

    static std::size_t receive(char* data, std::size_t /*size*/, std::size_t count, void* self) noexcept {
        return static_cast<Hop*>(self)->take({data, count});
    }
    std::size_t take(std::string_view data) noexcept {
        if (!has_content(status())) {
            dropped_ += data.size();
            has_enough_ = dropped_ > most_dropped;
            return has_enough_ ? CURL_WRITEFUNC_ERROR : data.size();
        }
        try {
            begin();
            on_.data(data);
            return data.size();
        } catch (...) {
            thrown_ = std::current_exception(); // libcurl is C
            return CURL_WRITEFUNC_ERROR;
        }
    }

    CURL* handle_;
    const Url& url_;
    const OnAnswer& on_;
    std::array<char, CURL_ERROR_SIZE> words_{};
    std::exception_ptr thrown_;
    bool has_begun_ = false;
    bool has_enough_ = false;
    std::size_t dropped_ = 0;
};

void transfer_http(const Get& get, const TransferLimits& limits, const OnAnswer& on) {
    const HeaderList headers = headers_of(get);
    const std::string range = get.from ? fmt::format("{}-", *get.from) : std::string();
    const Handle handle = make_handle();
    set_limits(handle.get(), limits);
    set(handle.get(), CURLOPT_HTTPHEADER, headers.get());
    if (get.from) {
        set(handle.get(), CURLOPT_RANGE, range.c_str());
    }
    Url url = get.url;
    for (int i = 0; i <= most_redirections; ++i) {
        const std::optional<Url> next = Hop(handle.get(), url, on).run();
        if (!next) {
            return;
        }
        url = *next;
    }
    throw Error(ErrorCode::unreachable,
                fmt::format("{}: leads on and on, {} times", shown(get.url), most_redirections),
                "look at the URL with: curl -I");
}

} // namespace

void transfer(const Get& get, const TransferLimits& limits, const OnAnswer& on) {
    if (get.url.is_file()) {
        transfer_local(get, on);
    } else {
        transfer_http(get, limits, on);
    }
}

} // namespace capsul::fetch
