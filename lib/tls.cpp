#include "lib/tls.hpp"

#include "lib/base64.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>

namespace capsul {
namespace {

using Trust = TlsContext::Trust;

constexpr std::size_t length_size = 4; // before each message, big-endian
constexpr std::size_t piece_size = std::size_t{16} << 10U;
constexpr int alert_reasons = 1000; // SSL_AD_REASON_OFFSET: alerts of the other end come after it
constexpr std::array<unsigned char, 2> secret_cipher{0x13, 0x01}; // TLS_AES_128_GCM_SHA256
constexpr std::string_view session_context = "capsul";

struct FreeCertificate {
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, FreeCertificate>;

[[noreturn]] void fail(const char* what) {
    throw Error(ErrorCode::internal, fmt::format("OpenSSL: {}", what));
}

const unsigned char* bytes(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

std::string raw_key(const EVP_PKEY* key) {
    std::array<unsigned char, 32> raw{};
    std::size_t size = raw.size();
    if (key == nullptr || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(key, raw.data(), &size) != 1) {
        throw Error(ErrorCode::verification, "its certificate is not of an Ed25519 key");
    }
    return {reinterpret_cast<const char*>(raw.data()), size};
}

Identity identity_of(const X509* certificate) {
    return Identity::parse(base64_encode(raw_key(certificate ? X509_get0_pubkey(certificate) : nullptr)));
}

/// Instead of OpenSSL's own checks, of chains, names and dates. The handshake has shown already that the
/// other end has the private key, or will.
int is_welcome(X509_STORE_CTX* store, void* trust) {
    try {
        const auto& welcome = static_cast<const Trust*>(trust)->welcome;
        if (welcome && welcome(identity_of(X509_STORE_CTX_get0_cert(store)))) {
            return 1;
        }
    } catch (const std::exception&) {
        // As if it was not welcome: nothing may pass through OpenSSL.
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

const Trust& trust_of(SSL* ssl) {
    return *static_cast<const Trust*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
}

/// A session that has never been, which is how OpenSSL takes a key; null when there is no memory.
SSL_SESSION* session_of(SSL* ssl) {
    const std::string& key = trust_of(ssl).key;
    const SSL_CIPHER* const cipher = SSL_CIPHER_find(ssl, secret_cipher.data());
    SSL_SESSION* const session = SSL_SESSION_new();
    if (session != nullptr &&
        (cipher == nullptr || SSL_SESSION_set1_master_key(session, bytes(key), key.size()) != 1 ||
         SSL_SESSION_set1_id_context(session, bytes(session_context), session_context.size()) != 1 ||
         SSL_SESSION_set_cipher(session, cipher) != 1 ||
         SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1)) {
        SSL_SESSION_free(session);
        return nullptr;
    }
    return session;
}

int use_secret(SSL* ssl, const EVP_MD* digest, const unsigned char** name, std::size_t* size,
               SSL_SESSION** session) {
    const std::string& key_name = trust_of(ssl).key_name;
    *name = bytes(key_name);
    *size = key_name.size();
    *session = digest == nullptr || EVP_MD_is_a(digest, "SHA256") == 1 ? session_of(ssl) : nullptr;
    return 1;
}

int find_secret(SSL* ssl, const unsigned char* name, std::size_t size, SSL_SESSION** session) {
    const std::string& wanted = trust_of(ssl).key_name;
    const bool fits = std::equal(name, name + size, bytes(wanted), bytes(wanted) + wanted.size());
    *session = fits ? session_of(ssl) : nullptr;
    return 1;
}

/// What is made of the secret for one purpose says nothing about the secret or what is made for another.
std::string derive(std::string_view secret, std::string_view purpose) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> code{};
    unsigned size = 0;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes(purpose), purpose.size(),
             code.data(), &size) == nullptr) {
        fail("no HMAC");
    }
    return {reinterpret_cast<const char*>(code.data()), size};
}

Certificate certificate_of(EVP_PKEY* key) {
    Certificate certificate(X509_new());
    const bool ok = certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1) == 1 &&
                    ASN1_TIME_set_string(X509_getm_notBefore(certificate.get()), "19700101000000Z") == 1 &&
                    ASN1_TIME_set_string(X509_getm_notAfter(certificate.get()), "99991231235959Z") == 1 &&
                    X509_set_pubkey(certificate.get(), key) == 1 &&
                    X509_sign(certificate.get(), key, nullptr) > 0;
    if (!ok) {
        fail("no certificate can be made");
    }
    return certificate;
}

[[noreturn]] void fail_for(int error) {
    const unsigned long code = ERR_peek_error();
    if (error == SSL_ERROR_ZERO_RETURN) {
        throw Error(ErrorCode::unreachable, "the other end closed the connection");
    }
    if (ERR_GET_REASON(code) >= alert_reasons) {
        throw Error(ErrorCode::verification, "the other end does not take this host for one of its own");
    }
    if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        throw Error(ErrorCode::verification, "the other end is not one that is known here");
    }
    const char* const reason = ERR_reason_error_string(code);
    throw Error(ErrorCode::verification, fmt::format("TLS: {}", reason != nullptr ? reason : "failure"));
}

} // namespace

void TlsContext::Free::operator()(SSL_CTX* context) const noexcept {
    SSL_CTX_free(context);
}

TlsContext::TlsContext(Trust trust)
    : trust_(std::make_unique<Trust>(std::move(trust))), context_(SSL_CTX_new(TLS_method())) {
    SSL_CTX* const context = context_.get();
    if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
        fail("no TLS 1.3");
    }
    SSL_CTX_set_app_data(context, trust_.get());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0); // every connection begins anew
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_cert_verify_callback(context, is_welcome, trust_.get());
}

TlsContext TlsContext::of_identity(const PrivateIdentity& own, Welcome welcome) {
    TlsContext context({std::move(welcome), {}, {}});
    const Certificate certificate = certificate_of(own.native());
    if (SSL_CTX_use_certificate(context.native(), certificate.get()) != 1 ||
        SSL_CTX_use_PrivateKey(context.native(), own.native()) != 1) {
        fail("it does not take the identity");
    }
    return context;
}

TlsContext TlsContext::of_secret(std::string_view secret) {
    const std::string name = derive(secret, "capsul invitation 1: name");
    TlsContext context({{}, derive(secret, "capsul invitation 1: key"), name.substr(0, 16)});
    // A key goes with ciphers of one digest: what both would choose otherwise may be of another.
    if (SSL_CTX_set_ciphersuites(context.native(), "TLS_AES_128_GCM_SHA256") != 1) {
        fail("no cipher");
    }
    // OpenSSL takes a session, which the key is to it, only where it belongs.
    SSL_CTX_set_session_id_context(context.native(), bytes(session_context), session_context.size());
    SSL_CTX_set_psk_use_session_callback(context.native(), use_secret);
    SSL_CTX_set_psk_find_session_callback(context.native(), find_secret);
    return context;
}

void TlsChannel::Free::operator()(SSL* ssl) const noexcept {
    SSL_free(ssl);
}

// OpenSSL works on buffers in memory, since on a socket it would wait without limit and raise SIGPIPE.
TlsChannel::TlsChannel(const TlsContext& context, int socket, Role role, Deadline deadline)
    : socket_(socket), ssl_(SSL_new(context.native())) {
    BIO* const in = BIO_new(BIO_s_mem());
    BIO* const out = BIO_new(BIO_s_mem());
    if (!ssl_ || in == nullptr || out == nullptr) {
        BIO_free(in);
        BIO_free(out);
        fail("no memory");
    }
    SSL_set_bio(ssl_.get(), in, out); // which owns them now
    if (role == Role::client) {
        SSL_set_connect_state(ssl_.get());
    } else {
        SSL_set_accept_state(ssl_.get());
    }
    perform([&] { return SSL_do_handshake(ssl_.get()); }, deadline);
    const bool by_secret = SSL_session_reused(ssl_.get()) == 1;
    if (!by_secret && SSL_get0_peer_certificate(ssl_.get()) == nullptr) {
        throw Error(ErrorCode::verification, "the other end has shown nothing");
    }
}

Identity TlsChannel::peer() const {
    return identity_of(SSL_get0_peer_certificate(ssl_.get()));
}

void TlsChannel::send(std::string_view message, Deadline deadline) {
    std::string data(length_size, '\0');
    for (std::size_t i = 0; i < length_size; ++i) {
        data[i] =
            static_cast<char>(static_cast<unsigned char>(message.size() >> (8 * (length_size - 1 - i))));
    }
    data += message;
    perform([&] { return SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size())); }, deadline);
}

std::string TlsChannel::receive(std::size_t most, Deadline deadline) {
    std::size_t size = 0;
    for (const char byte : read(length_size, deadline)) {
        size = size << 8U | static_cast<unsigned char>(byte);
    }
    if (size > most) {
        throw Error(ErrorCode::too_large, fmt::format("a message of {} bytes, more than {}", size, most));
    }
    return read(size, deadline);
}

/// No memory is taken for what has only been announced.
std::string TlsChannel::read(std::size_t size, Deadline deadline) {
    std::string data;
    std::array<char, piece_size> piece; // NOLINT(*-member-init): SSL_read fills it
    while (data.size() < size) {
        const auto wanted = static_cast<int>(std::min(piece.size(), size - data.size()));
        const int got = perform([&] { return SSL_read(ssl_.get(), piece.data(), wanted); }, deadline);
        data.append(piece.data(), static_cast<std::size_t>(got));
    }
    return data;
}

int TlsChannel::perform(const std::function<int()>& step, Deadline deadline) {
    for (;;) {
        ERR_clear_error();
        const int result = step();
        const int error = SSL_get_error(ssl_.get(), result);
        flush(deadline); // of a failure too, which the other end is told
        if (result > 0) {
            return result;
        }
        if (error != SSL_ERROR_WANT_READ) {
            fail_for(error);
        }
        fill(deadline);
    }
}

void TlsChannel::flush(Deadline deadline) {
    BIO* const out = SSL_get_wbio(ssl_.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    for (std::string_view rest(data, static_cast<std::size_t>(size)); !rest.empty();) {
        const ssize_t sent = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            rest.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN || errno == EINTR) {
            wait_for(socket_, POLLOUT, deadline);
        } else {
            throw Error(ErrorCode::unreachable, "the other end closed the connection");
        }
    }
    BIO_reset(out);
}

void TlsChannel::fill(Deadline deadline) {
    std::array<char, piece_size> piece; // NOLINT(*-member-init): recv fills it
    for (;;) {
        wait_for(socket_, POLLIN, deadline);
        const ssize_t got = ::recv(socket_, piece.data(), piece.size(), MSG_DONTWAIT);
        if (got > 0) {
            BIO_write(SSL_get_rbio(ssl_.get()), piece.data(), static_cast<int>(got));
            return;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            throw Error(ErrorCode::unreachable, "the other end closed the connection");
        }
    }
}

} // namespace capsul
