// Makes and checks stores with Java's own code, on orders from the tests: one line in, some lines and a dot out.
// Fields are separated by tabs; passwords and aliases travel as hex of their UTF-8.

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.Certificate;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import javax.crypto.spec.SecretKeySpec;

public class Keystores {
    static final String[] LEGACY = {"PBEWithSHA1AndRC2_40", "PBEWithSHA1AndDESede", "HmacPBESHA1"};
    static final String[] MODERN = {"PBEWithHmacSHA256AndAES_256", "PBEWithHmacSHA256AndAES_256", "HmacPBESHA256"};
    static final String[] MACLESS = {"NONE", "PBEWithHmacSHA256AndAES_256", "NONE"};
    static final String[] HIDDEN_MACLESS = {"PBEWithHmacSHA256AndAES_256", "PBEWithHmacSHA256AndAES_256", "NONE"};

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
        for (String line; (line = in.readLine()) != null; ) {
            String[] order = line.split("\t", -1);
            try {
                switch (order[0]) {
                    case "make": make(Path.of(order[1])); break;
                    case "check": check(out, order[1], Path.of(order[2]), text(order[3]), text(order[4])); break;
                    case "keytool": keytool(out, Arrays.copyOfRange(order, 1, order.length)); break;
                    default: throw new IllegalArgumentException(order[0]);
                }
            } catch (Throwable failure) {
                out.println("error\t" + failure);
            }
            out.println(".");
        }
    }

    /** Runs keytool itself, in this JVM; its warnings are part of the answer. */
    static void keytool(PrintStream out, String[] args) throws Exception {
        PrintStream before = System.err;
        System.setOut(out);
        System.setErr(out);
        try {
            sun.security.tools.keytool.Main.main(args);
        } finally {
            System.setErr(before);
        }
    }

    static void check(PrintStream out, String type, Path path, String password, String keyPassword) throws Exception {
        KeyStore store = KeyStore.getInstance(type);
        try (InputStream in = Files.newInputStream(path)) {
            store.load(in, password.toCharArray());
        }
        for (String alias : Collections.list(store.aliases())) {
            String kind = "secret";
            String key = "-";
            List<String> prints = new ArrayList<>();
            if (store.isCertificateEntry(alias)) {
                kind = "trusted";
                prints.add(sha256(store.getCertificate(alias)));
            } else {
                if (store.getCertificateChain(alias) != null) {
                    kind = "key";
                    for (Certificate one : store.getCertificateChain(alias)) prints.add(sha256(one));
                }
                try {
                    Key opened = store.getKey(alias, keyPassword.toCharArray());
                    if (opened instanceof PrivateKey) {
                        kind = "key";
                        Certificate leaf = store.getCertificate(alias);
                        key = leaf == null ? "alone" : matches((PrivateKey) opened, leaf) ? "matches" : "mismatch";
                    } else {
                        key = "secret";
                    }
                } catch (UnrecoverableKeyException sealed) {
                    key = "sealed";
                }
            }
            out.println(kind + "\t" + hex(alias.getBytes(StandardCharsets.UTF_8)) + "\t" + String.join(",", prints) + "\t" + key);
        }
    }

    static boolean matches(PrivateKey key, Certificate certificate) throws Exception {
        Signature signature = Signature.getInstance(key.getAlgorithm().equals("RSA") ? "SHA256withRSA" : "SHA256withECDSA");
        signature.initSign(key);
        signature.update(new byte[] {1, 2, 3});
        byte[] signed = signature.sign();
        signature.initVerify(certificate);
        signature.update(new byte[] {1, 2, 3});
        return signature.verify(signed);
    }

    /** Makes one store of each sort out of the keys and certificates in the directory. */
    static void make(Path dir) throws Exception {
        PrivateKey rsa = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(dir.resolve("leaf.p8"))));
        PrivateKey ec = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(dir.resolve("other.p8"))));
        Certificate root = certificate(dir.resolve("root.der"));
        Certificate extra = certificate(dir.resolve("extra.der"));
        Certificate[] rsaChain = {certificate(dir.resolve("leaf.der")), certificate(dir.resolve("ca.der")), root};
        Certificate[] ecChain = {certificate(dir.resolve("other.der")), certificate(dir.resolve("ca.der")), root};

        for (String type : new String[] {"JKS", "JCEKS", "PKCS12"}) {
            for (String password : new String[] {"changeit", "pässwörd 鍵", ""}) {
                boolean plain = password.equals("changeit");
                // Java cannot encrypt with a password that is not ASCII: JKS alone takes one.
                if (type.equals("PKCS12") && !plain && !password.isEmpty()) continue;
                String name = type.toLowerCase(Locale.ROOT) + (plain ? "" : password.isEmpty() ? "-empty" : "-unicode");
                KeyStore store = fresh(type);
                char[] secret = password.toCharArray();
                try {
                    store.setKeyEntry("securekey", rsa, secret, rsaChain);
                    store.setKeyEntry("other", ec, secret, ecChain);
                } catch (KeyStoreException refused) {
                    if (!type.equals("JCEKS")) throw refused;
                }
                store.setCertificateEntry("schlüssel-鍵", extra);
                if (plain && !type.equals("JKS")) {
                    store.setKeyEntry("aes", new SecretKeySpec(new byte[32], "AES"), secret, null);
                }
                write(store, dir.resolve(name), secret, MODERN);
            }
            KeyStore trust = fresh(type);
            trust.setCertificateEntry("extra", extra);
            trust.setCertificateEntry("root", root);
            write(trust, dir.resolve(type.toLowerCase(Locale.ROOT) + "-trust"), "changeit".toCharArray(), MODERN);
        }
        for (String type : new String[] {"JKS", "JCEKS"}) {
            KeyStore store = fresh(type);
            store.setKeyEntry("securekey", rsa, "another-one".toCharArray(), rsaChain);
            store.setKeyEntry("other", ec, "another-one".toCharArray(), ecChain);
            write(store, dir.resolve(type.toLowerCase(Locale.ROOT) + "-keypass"), "changeit".toCharArray(), MODERN);
        }
        pkcs12(dir.resolve("pkcs12-legacy"), LEGACY, "changeit", rsa, rsaChain, ec, ecChain, extra);
        pkcs12(dir.resolve("pkcs12-macless"), MACLESS, "changeit", rsa, rsaChain, ec, ecChain, extra);
        pkcs12(dir.resolve("pkcs12-hidden-macless"), HIDDEN_MACLESS, "changeit", rsa, rsaChain, ec, ecChain, extra);
        KeyStore trust = fresh("PKCS12");
        trust.setCertificateEntry("extra", extra);
        write(trust, dir.resolve("pkcs12-passwordless"), null, MACLESS);
    }

    static void pkcs12(Path path, String[] algorithms, String password, PrivateKey rsa, Certificate[] rsaChain, PrivateKey ec, Certificate[] ecChain, Certificate extra) throws Exception {
        KeyStore store = fresh("PKCS12");
        algorithms(algorithms);
        store.setKeyEntry("securekey", rsa, password.toCharArray(), rsaChain);
        store.setKeyEntry("other", ec, password.toCharArray(), ecChain);
        store.setCertificateEntry("extra", extra);
        write(store, path, password.toCharArray(), algorithms);
    }

    static KeyStore fresh(String type) throws Exception {
        algorithms(MODERN);
        KeyStore store = KeyStore.getInstance(type);
        store.load(null, null);
        return store;
    }

    static void write(KeyStore store, Path path, char[] password, String[] algorithms) throws Exception {
        algorithms(algorithms);
        try (OutputStream out = Files.newOutputStream(path)) {
            store.store(out, password);
        }
    }

    static void algorithms(String[] names) {
        System.setProperty("keystore.pkcs12.certProtectionAlgorithm", names[0]);
        System.setProperty("keystore.pkcs12.keyProtectionAlgorithm", names[1]);
        System.setProperty("keystore.pkcs12.macAlgorithm", names[2]);
    }

    static Certificate certificate(Path path) throws Exception {
        try (InputStream in = Files.newInputStream(path)) {
            return CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }

    static String sha256(Certificate certificate) throws Exception {
        return hex(MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte one : bytes) out.append(String.format("%02x", one));
        return out.toString();
    }

    static String text(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int at = 0; at < bytes.length; at++) bytes[at] = (byte) Integer.parseInt(hex.substring(2 * at, 2 * at + 2), 16);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
