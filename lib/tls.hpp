// TLS 1.3 (RFC 8446) between two hosts of a VPN, and messages over it: who is at the other end is decided by
// an identity or by a secret that both know, never by names, dates or authorities.
#pragma once

#include "lib/tcp.hpp"
#include "lib/vpn_key.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

struct ssl_ctx_st;
struct ssl_st;

namespace capsul {

/// How long a handshake may take with somebody who may be nobody's host.
constexpr std::chrono::seconds handshake_limit{5};

/// What one end shows, and what it wants to see of the other. Outlives the channels made with it.
class TlsContext {
  public:
    using Welcome = std::function<bool(const Identity&)>;

    /// Each end shows a certificate of its identity, in which nothing but the key counts: it has to be one
    /// that is welcome. Throws Error (internal).
    [[nodiscard]] static TlsContext of_identity(const PrivateIdentity& own, Welcome welcome);
    /// Both know a secret of 32 random bytes (RFC 8446 2.2, a key given beforehand, with Diffie-Hellman); no
    /// certificate will do. Throws Error (internal).
    [[nodiscard]] static TlsContext of_secret(std::string_view secret);

    [[nodiscard]] ssl_ctx_st* native() const noexcept { return context_.get(); }

    /// For OpenSSL's callbacks.
    struct Trust {
        Welcome welcome;
        std::string key;      ///< from the secret
        std::string key_name; ///< which is sent in clear text
    };

  private:
    struct Free {
        void operator()(ssl_ctx_st* context) const noexcept;
    };
    explicit TlsContext(Trust trust);

    std::unique_ptr<Trust> trust_;
    std::unique_ptr<ssl_ctx_st, Free> context_;
};

/// One connection. Every function throws Error: timeout at the deadline, unreachable when the other end has
/// gone, verification when it or this one is not whom the other wants.
class TlsChannel {
  public:
    enum class Role { client, server };

    /// Shakes hands. `socket` stays open for as long as this is there. A server may still refuse a client
    /// that has this behind it: that is told by the client's first receive().
    TlsChannel(const TlsContext& context, int socket, Role role, Deadline deadline);

    /// Of the other end; with TlsContext::of_identity only.
    [[nodiscard]] Identity peer() const;
    void send(std::string_view message, Deadline deadline);
    /// Throws Error (too_large) for a message of more than `most` bytes, before it has come.
    [[nodiscard]] std::string receive(std::size_t most, Deadline deadline);

  private:
    struct Free {
        void operator()(ssl_st* ssl) const noexcept;
    };
    int perform(const std::function<int()>& step, Deadline deadline);
    void flush(Deadline deadline);
    void fill(Deadline deadline);
    std::string read(std::size_t size, Deadline deadline);

    int socket_;
    std::unique_ptr<ssl_st, Free> ssl_;
};

} // namespace capsul
