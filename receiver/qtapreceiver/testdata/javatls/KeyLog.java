// SPDX-License-Identifier: Apache-2.0

import java.io.FileOutputStream;
import java.io.IOException;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.ProtectionDomain;
import java.util.Collections;
import java.util.HexFormat;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.function.Consumer;
import javax.crypto.SecretKey;
import jdk.internal.org.objectweb.asm.ClassReader;
import jdk.internal.org.objectweb.asm.ClassVisitor;
import jdk.internal.org.objectweb.asm.ClassWriter;
import jdk.internal.org.objectweb.asm.MethodVisitor;
import jdk.internal.org.objectweb.asm.Opcodes;

/**
 * A Java agent that writes a key log (RFC 9850) of the JDK's own TLS 1.3 to the file that is its argument, as an operator
 * may run one. It is for the test of what that gives, with JDK 17.
 *
 * <p>Every secret of TLS 1.3 is returned by sun.security.ssl.SSLSecretDerivation.deriveKey(name, ...). The changed class
 * hands the secret with its name, and before that, in its constructor, the client random, to a Consumer that it finds
 * in the system properties: java.base sees no class of an agent.
 */
public class KeyLog implements ClassFileTransformer {
    private static final String TARGET = "sun/security/ssl/SSLSecretDerivation";
    private static final String HOOK = "qpoint.test.keylog";
    private static final Map<String, String> LABELS = Map.of(
        "TlsClientHandshakeTrafficSecret", "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "TlsServerHandshakeTrafficSecret", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "TlsClientAppTrafficSecret", "CLIENT_TRAFFIC_SECRET_0",
        "TlsServerAppTrafficSecret", "SERVER_TRAFFIC_SECRET_0");

    public static void premain(String file, Instrumentation instrumentation) throws Exception {
        FileOutputStream out = new FileOutputStream(file, true);
        Map<Object, byte[]> randoms = Collections.synchronizedMap(new WeakHashMap<>());
        // Called with the derivation, and either the client random or a secret and its name.
        Consumer<Object[]> hook = given -> {
            if (given[1] == null) {
                randoms.put(given[0], (byte[]) given[2]);
                return;
            }
            String label = LABELS.get(given[1]);
            if (label == null) {
                return;
            }
            HexFormat hex = HexFormat.of();
            String line = label + " " + hex.formatHex(randoms.get(given[0])) + " " + hex.formatHex(((SecretKey) given[2]).getEncoded()) + "\n";
            try {
                out.write(line.getBytes());
            } catch (IOException e) {
                e.printStackTrace();
            }
        };
        System.getProperties().put(HOOK, hook);
        instrumentation.addTransformer(new KeyLog());
    }

    @Override
    public byte[] transform(ClassLoader loader, String name, Class<?> of, ProtectionDomain domain, byte[] code) {
        if (!TARGET.equals(name)) {
            return null;
        }
        ClassReader reader = new ClassReader(code);
        ClassWriter writer = new ClassWriter(reader, ClassWriter.COMPUTE_MAXS);
        reader.accept(new ClassVisitor(Opcodes.ASM8, writer) {
            @Override
            public MethodVisitor visitMethod(int access, String method, String type, String signature, String[] exceptions) {
                MethodVisitor to = super.visitMethod(access, method, type, signature, exceptions);
                return method.equals("deriveKey") || method.equals("<init>") ? new Returns(to) : to;
            }
        }, 0);
        return writer.toByteArray();
    }

    /** Calls the hook before each return. */
    private static class Returns extends MethodVisitor {
        Returns(MethodVisitor to) {
            super(Opcodes.ASM8, to);
        }

        @Override
        public void visitInsn(int opcode) {
            if (opcode == Opcodes.ARETURN) {
                visitInsn(Opcodes.DUP); // the secret
                visitVarInsn(Opcodes.ALOAD, 1); // its name
                hook();
            } else if (opcode == Opcodes.RETURN) {
                visitVarInsn(Opcodes.ALOAD, 1);
                visitFieldInsn(Opcodes.GETFIELD, "sun/security/ssl/HandshakeContext", "clientHelloRandom", "Lsun/security/ssl/RandomCookie;");
                visitFieldInsn(Opcodes.GETFIELD, "sun/security/ssl/RandomCookie", "randomBytes", "[B");
                visitInsn(Opcodes.ACONST_NULL);
                hook();
            }
            super.visitInsn(opcode);
        }

        /** value, name → hook.accept(new Object[] {this, name, value}). */
        private void hook() {
            visitInsn(Opcodes.ICONST_3);
            visitTypeInsn(Opcodes.ANEWARRAY, "java/lang/Object");
            set(Opcodes.ICONST_1);
            set(Opcodes.ICONST_2);
            visitVarInsn(Opcodes.ALOAD, 0);
            visitInsn(Opcodes.SWAP);
            set(Opcodes.ICONST_0);
            visitMethodInsn(Opcodes.INVOKESTATIC, "java/lang/System", "getProperties", "()Ljava/util/Properties;", false);
            visitLdcInsn(HOOK);
            visitMethodInsn(Opcodes.INVOKEVIRTUAL, "java/util/Properties", "get", "(Ljava/lang/Object;)Ljava/lang/Object;", false);
            visitTypeInsn(Opcodes.CHECKCAST, "java/util/function/Consumer");
            visitInsn(Opcodes.SWAP);
            visitMethodInsn(Opcodes.INVOKEINTERFACE, "java/util/function/Consumer", "accept", "(Ljava/lang/Object;)V", true);
        }

        /** value, array → array, with the value at an index. */
        private void set(int index) {
            visitInsn(Opcodes.DUP_X1); // array, value, array
            visitInsn(Opcodes.SWAP); // array, array, value
            visitInsn(index);
            visitInsn(Opcodes.SWAP);
            visitInsn(Opcodes.AASTORE);
        }
    }
}
